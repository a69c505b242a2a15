"""Last k: only the top blocks train (Yosinski et al. 2014, NeurIPS, arXiv 1411.1792; Lee et al. 2023, arXiv 2210.11466)."""

from __future__ import annotations

import copy

from torch import nn

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.common import check
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit


def last_k(model: Model, task: Task, config: TrainConfig, *, k: int = 1) -> Model:
    """Fine-tune the last k blocks of a copy, its final norm and its unembedding; the rest is frozen. `config.steps` steps.

    In a compiled model only the last k blocks: it has no norm, and its unembedding is fixed.
    Raises MethodError if the model has fewer than k blocks.
    """
    tuned = copy.deepcopy(model).requires_grad_(False)
    blocks = getattr(tuned, "blocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise MethodError(f"last-k needs a model with blocks; {type(model).__name__} has none")
    check("last-k", "k", k, f"a number of blocks, 1 to {len(blocks)}", lambda v: 1 <= v <= len(blocks), whole=True)
    for part in (*blocks[-k:], getattr(tuned, "norm", None), getattr(tuned, "unembedding", None)):
        if isinstance(part, nn.Module):
            part.requires_grad_(True)
    fit(tuned, task, config)
    return tuned.requires_grad_(True)
