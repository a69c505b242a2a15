"""Sizes of models and trainings as plain data, without torch: what presets hold and store keys are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from capbench.errors import UsageError

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every architecture is given: the sizes of its input and of its output. Each has a subclass with its own sizes.

    vocab_size: tokens, and logits. seq_len: positions at most. n_blocks: layers with a residual stream between them.
    """

    vocab_size: int
    seq_len: int
    n_blocks: int


@dataclass(frozen=True, kw_only=True)
class GptConfig(ModelConfig):
    """Sizes of a GPT. d_model must be a multiple of n_heads."""

    d_model: int
    n_heads: int
    activation: Literal["gelu", "relu"] = "gelu"

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise UsageError(f"d_model {self.d_model} must be a multiple of n_heads {self.n_heads}")
        if self.activation not in ("gelu", "relu"):
            raise UsageError(f"unknown activation {self.activation!r}; known: gelu, relu")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. warmup and final_lr are fractions of `steps` and of `lr`; grad_clip is a global norm.

    Defaults follow paper App. C.2: AdamW, warm-up over the first 20 % of the steps, cosine to 1/100.
    precision: of losses and their gradients (bfloat16: by torch's autocast); weights are float32 either way.
    """

    steps: int
    batch_size: int
    lr: float
    seed: int
    optimizer: Literal["adamw", "sgd"] = "adamw"
    warmup: float = 0.2
    final_lr: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = 0.9
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    device: str = "cpu"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch_size < 1 or self.lr < 0:
            raise UsageError(
                f"steps {self.steps} and lr {self.lr} must be at least 0, batch size {self.batch_size} at least 1"
            )
        if self.optimizer not in ("adamw", "sgd"):
            raise UsageError(f"unknown optimizer {self.optimizer!r}; known: adamw, sgd")
        if self.precision not in PRECISIONS:
            raise UsageError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")

    def lr_at(self, step: int) -> float:
        """Learning rate of step 0 … steps - 1: linear warm-up, then cosine to final_lr * lr."""
        warmup = int(self.warmup * self.steps)
        if step < warmup:
            return self.lr * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * progress)))
