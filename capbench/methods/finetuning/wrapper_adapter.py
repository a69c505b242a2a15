"""Wrapper adapter: a low-rank update trains in the one block where a short full fine-tuning puts its wrapper. Needs PEFT.

Activation patching (arXiv 2605.24614) says from which depth of the fine-tuned model on the old answer is gone. The block in which
it goes gets a LoRA adapter (arXiv 2106.09685), the rest is frozen. The paper's open question 3; the method is this project's own.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch
from torch import nn

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.measure.accuracy import accuracy
from capbench.measure.patch import patched
from capbench.methods.common import check, check_choice
from capbench.methods.peft.adapters import tuned_by_adapter
from capbench.methods.peft.configs import peft_library
from capbench.methods.streams import generator
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit

BY = ("patching", "elsewhere")
_PATCHED = 512  # strings each, for fitting the maps between both models and for the answers


def wrapper_adapter(
    model: Model,
    task: FineTuningTask,
    config: TrainConfig,
    *,
    rank: int = 8,
    alpha: float = 16.0,
    pilot: float = 0.25,
    lr_factor: float = 1.0,
    by: str = "patching",
) -> Model:
    """Fully fine-tune a copy for a share of the steps, and find the block in which it loses O_PT; a LoRA adapter trains there.

    The adapter, W + alpha / rank * B A, is on all linear maps of that block of the model as it was; it trains for the steps that
    are left, and is merged. pilot: share of the steps. lr_factor: multiplies the rate of its training. by: `patching`, or
    `elsewhere`: another block, for comparison. As many steps as full fine-tuning; finding the block costs 1 536 strings. Raises
    MethodError for an option out of range, and for a model without blocks.
    """
    check("wrapper-adapter", "rank", rank, "a whole number, at least 1", lambda v: v >= 1, whole=True)
    check("wrapper-adapter", "alpha", alpha, "a number above 0", lambda v: v > 0)
    check("wrapper-adapter", "pilot", pilot, "a number above 0 and below 1", lambda v: 0 < v < 1)
    check("wrapper-adapter", "lr_factor", lr_factor, "a number above 0", lambda v: v > 0)
    check_choice("wrapper-adapter", "by", by, BY)
    if not isinstance(getattr(model, "blocks", None), nn.ModuleList):
        raise MethodError(f"wrapper-adapter needs a model with blocks; {type(model).__name__} has none")
    first = round(pilot * config.steps)
    fit(tried := copy.deepcopy(model), task, replace(config, steps=first))
    block = where_it_goes(model, tried, task, config)
    if by == "elsewhere":
        block = another(model, block, config)
    maps = [name for name, linear in model.neurons().items() if any(linear is m for m in block.modules())]
    adapter = peft_library("wrapper-adapter").LoraConfig(r=rank, lora_alpha=alpha, target_modules=maps)
    rest = replace(config, steps=config.steps - first, lr=lr_factor * config.lr)
    return tuned_by_adapter(model, task, rest, adapter, method="wrapper-adapter")


def another(model: Model, block: nn.Module, config: TrainConfig) -> nn.Module:
    """One of the model's other blocks, drawn with the training's seed. Raises MethodError if there is none."""
    others = [each for each in getattr(model, "blocks") if each is not block]  # noqa: B009
    if not others:
        raise MethodError("wrapper-adapter: by='elsewhere' needs a model with two blocks or more")
    found: nn.Module = others[int(torch.randint(len(others), (), generator=generator(config, 3)))]
    return found


def where_it_goes(model: Model, tuned: Model, task: FineTuningTask, config: TrainConfig) -> nn.Module:
    """The model's block in which most of O_PT is lost: over which its accuracy falls most with the tuned model's stream put in.

    The last one if it falls nowhere: a wrapper behind all blocks does not show in the stream.
    """
    select, evaluate = (task.forget.sample(_PATCHED, generator(config, stream)) for stream in (1, 2))
    depths, right = patched(model, tuned, task=task.forget, select=select, evaluate=evaluate)
    falls: dict[int, float] = {}
    before = accuracy(model, task.forget, evaluate)
    for depth, share in sorted(zip(depths, right, strict=True)):
        number = math.ceil(depth) - 1
        falls[number] = falls.get(number, 0.0) + before - share
        before = share
    blocks: nn.ModuleList = getattr(model, "blocks")  # noqa: B009
    worst = max(falls, key=falls.__getitem__)
    return blocks[worst if falls[worst] > 0 else -1]
