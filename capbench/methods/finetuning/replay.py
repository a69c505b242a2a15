"""Replay: part of every batch is pretraining data (experience replay: Rolnick et al. 2019, NeurIPS, arXiv 1811.11682)."""

from __future__ import annotations

import copy

from capbench.configs import TrainConfig
from capbench.methods.common import check
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture
from capbench.training.loop import fit


def replay(model: Model, task: FineTuningTask, config: TrainConfig, *, share: float = 0.5) -> Model:
    """Fine-tune a copy on batches in which each string is from `task.retain` with probability `share`, else from the target.

    Steps and batch size are those of `config`, so it sees fewer target strings than full fine-tuning. The default is the
    one that Rolnick et al. settle on.
    """
    check("replay", "share", share, "a number strictly between 0 and 1", lambda v: 0 < v < 1)
    tuned = copy.deepcopy(model).requires_grad_(True)
    fit(tuned, Mixture(parts=(task.target, task.retain), shares=(1 - share, share)), config)
    return tuned
