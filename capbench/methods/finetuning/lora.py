"""LoRA: only a low-rank update of each linear map trains (Hu et al. 2022, ICLR, arXiv 2106.09685). Needs PEFT."""

from __future__ import annotations

from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.methods.common import check
from capbench.methods.peft.adapters import tuned_by_adapter
from capbench.methods.peft.configs import peft_library
from capbench.models.base import Model
from capbench.tasks.base import Task


def lora(
    model: Model,
    task: Task,
    config: TrainConfig,
    *,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    lr_factor: float = 1.0,
) -> Model:
    """Train W + alpha / rank * B A in a copy, for all linear maps of the blocks, then merge. `config.steps` steps.

    lr_factor: multiplies the learning rate of `config`; low-rank updates often train at about ten times the rate of all weights.
    """
    return low_rank("lora", model, task, config, rank=rank, alpha=alpha, dropout=dropout, lr_factor=lr_factor)


def low_rank(
    method: str,
    model: Model,
    task: Task,
    config: TrainConfig,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    lr_factor: float,
    dora: bool = False,
) -> Model:
    """LoRA, or DoRA, on all linear maps except the unembedding. Raises MethodError for an option out of range."""
    check(method, "rank", rank, "a whole number, at least 1", lambda v: v >= 1, whole=True)
    check(method, "alpha", alpha, "a number above 0", lambda v: v > 0)
    check(method, "dropout", dropout, "a number, at least 0 and below 1", lambda v: 0 <= v < 1)
    check(method, "lr_factor", lr_factor, "a number above 0", lambda v: v > 0)
    adapter = peft_library(method).LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, use_dora=dora, target_modules=list(model.neurons())
    )
    return tuned_by_adapter(model, task, replace(config, lr=lr_factor * config.lr), adapter, method=method)
