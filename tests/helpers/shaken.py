"""Small models of every architecture that edits are tried on, with weights and biases at random."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from architectures import ARCHITECTURES, fresh, shake
from torch import Tensor

from capbench.configs import GptConfig
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer
from capbench.tasks.base import Batch, Task
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask
from capbench.tasks.tracr.tasks import CounterTask

SETTING = PcfgSetting(text_len=8, numbers={"C": 6})
PCFG: Task = PcfgTask(setting=SETTING, prior={"a": 1.0})
COUNTER: Task = CounterTask(operand="a", min_content=4, max_content=6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gpt(seed: int = 0, activation: Any = "relu") -> Gpt:
    """With norms, biases and weights that are not those of a fresh model, or a rewrite would have nothing to get wrong."""
    sizes = {
        "vocab_size": len(SETTING.vocabulary),
        "seq_len": SETTING.seq_len,
        "d_model": 12,
        "n_blocks": 2,
        "n_heads": 3,
    }
    model = Gpt.initialised(GptConfig(**sizes, activation=activation), rng(seed)).eval()
    return _shaken(model, seed)


def compiled_like(seed: int = 0) -> TracrTransformer:
    """The architecture of compiled models, with random weights."""
    task: Any = COUNTER
    config = TracrConfig(
        program="count",
        vocabulary=tuple(task.vocabulary),
        bos=task.bos,
        pad=task.pad,
        max_seq_len=task.seq_len,
        causal=False,
        n_blocks=2,
        n_heads=2,
        key_size=5,
        mlp_size=9,
        residual_labels=tuple(f"x:{i}" for i in range(11)),
        outputs=tuple(range(7)),
    )
    model = TracrTransformer(config)
    torch.nn.init.eye_(model.unembedding)
    return _shaken(model, seed)


def _shaken(model: Any, seed: int) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.nan_to_num() * 0 + torch.randn(parameter.shape, generator=rng(seed + 1)) * 0.4)
    return model.eval()


def batch(task: Task, n: int = 24) -> Batch:
    return task.sample(n, rng(9))


def blocks(which: str, seed: int = 0) -> Any:
    """One of the architectures that share `models/blocks.py`."""
    own = {"kernel": 5} if which == "convolution" else {}
    return shake(fresh(which, seed, vocab_size=len(SETTING.vocabulary), seq_len=SETTING.seq_len, d_model=12, **own))


MODELS = {
    "gpt": (gpt, PCFG),
    "gelu": (lambda seed=0: gpt(seed, "gelu"), PCFG),
    "compiled": (compiled_like, COUNTER),
    **{which: (partial(blocks, which), PCFG) for which in ARCHITECTURES},
}


@torch.no_grad()
def logits(model: Model, task: Task) -> Tensor:
    return model(batch(task).tokens)
