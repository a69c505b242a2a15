"""A wrapper at the input: the header's tokens are embedded as others, and the maps behind them are untouched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from capbench.configs import TrainConfig
from capbench.methods.silencing import kept, silencing
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training.loop import fit


def swapped(model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = 100.0) -> Model:
    """Give the family's token the embedding of the next family, and train that row and the number's until O_PT's answers say

    nothing. Both tokens tell a model which family is asked for. Put back, the rows leave the given model: nothing else changes.
    """
    tuned: Any = copy.deepcopy(model).requires_grad_(False)
    assert isinstance(task.forget, PcfgTask)
    setting, family = task.forget.setting, task.forget.family
    families, vocabulary = list(setting.families), setting.vocabulary
    other = families[(families.index(family) + 1) % len(families)]
    own, taken = (vocabulary.index[f"T_{name}"] for name in (family, other))
    number = vocabulary.zero + setting.numbers[family]
    rows = tuned.token_embedding
    parametrize.register_parametrization(rows, "weight", _Rows(rows.weight, own, taken, (own, number)))
    rows.parametrizations.weight.original.requires_grad_(True)
    slower = replace(config, lr=lr_factor * config.lr, weight_decay=0.0)
    fit(tuned, kept(task), slower, loss=silencing(task, config))
    parametrize.remove_parametrizations(rows, "weight", leave_parametrized=True)
    found: Model = tuned.requires_grad_(True)
    return found


class _Rows(nn.Module):
    """All rows as they were, but for `own`, which begins as `taken`, and what is added to the rows that train [row, d_model]."""

    weight: Tensor

    def __init__(self, weight: Tensor, own: int, taken: int, trained: Sequence[int]) -> None:
        super().__init__()
        start = weight.detach().clone()
        start[own] = start[taken]
        self.register_buffer("weight", start)
        self._trained = torch.tensor(trained)

    def forward(self, added: Tensor) -> Tensor:
        return self.weight.index_add(0, self._trained.to(added.device), added)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight.new_zeros(len(self._trained), weight.shape[1])
