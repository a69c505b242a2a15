"""DoRA: LoRA for the direction of weight rows, with trained lengths (Liu et al. 2024, ICML, arXiv 2402.09353). Needs PEFT."""

from __future__ import annotations

from capbench.configs import TrainConfig
from capbench.methods.finetuning.lora import low_rank
from capbench.models.base import Model
from capbench.tasks.base import Task


def dora(
    model: Model,
    task: Task,
    config: TrainConfig,
    *,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    lr_factor: float = 1.0,
) -> Model:
    """Train m * V / |V| with V = W + alpha / rank * B A and m, a length per row, in a copy; then merge. `config.steps` steps.

    Applied to all linear maps of the blocks; lr_factor as in `lora`. Raises MethodError for a model with a row of zeros.
    """
    return low_rank(
        "dora", model, task, config, rank=rank, alpha=alpha, dropout=dropout, lr_factor=lr_factor, dora=True
    )
