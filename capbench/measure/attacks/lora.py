"""Relearning by low-rank updates (LoRA, Hu et al. 2022, arXiv 2106.09685): the weights stay fixed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit

RANK, ALPHA = 8, 16.0


class LowRank(nn.Module):
    """W -> W + alpha / rank * up @ down, with up zero at first."""

    def __init__(self, weight: Tensor, rng: torch.Generator) -> None:
        super().__init__()
        n_out, n_in = weight.shape
        self.down = nn.Parameter(torch.randn(RANK, n_in, generator=rng) / n_in**0.5)
        self.up = nn.Parameter(torch.zeros(n_out, RANK))

    def forward(self, weight: Tensor) -> Tensor:
        updated: Tensor = weight + (ALPHA / RANK) * self.up @ self.down
        return updated


def updating(model: Model, linears: Iterable[nn.Module], seed: int) -> None:
    """Give these maps of a model low-rank updates, in place, as parametrisations. Nothing else of it is trained then."""
    rng = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    for linear in linears:
        weight: Tensor = linear.weight  # type: ignore[assignment]
        parametrize.register_parametrization(linear, "weight", LowRank(weight, rng).to(weight.device))


def relearn(model: Model, task: Task, train: TrainConfig) -> None:
    """Train low-rank updates of all linear maps of the blocks, in place: the weights stay as they were."""
    updating(model, model.neurons().values(), train.seed)
    fit(model, task, train)
