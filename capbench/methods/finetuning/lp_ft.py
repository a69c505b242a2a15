"""LP-FT: first the unembedding alone, then everything (Kumar et al. 2022, ICLR, arXiv 2202.10054)."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import nn

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.common import another_seed, check
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit


def lp_ft(model: Model, task: Task, config: TrainConfig, *, head_share: float = 0.5) -> Model:
    """Fine-tune the unembedding of a copy for `head_share` of `config.steps`, then all parameters for the rest.

    Each phase has its own data and a whole schedule (warm-up and cosine). Raises MethodError for a model whose unembedding
    is fixed, such as a compiled one.
    """
    check("lp-ft", "head_share", head_share, "a number strictly between 0 and 1", lambda v: 0 < v < 1)
    tuned = copy.deepcopy(model).requires_grad_(False)
    head = getattr(tuned, "unembedding", None)
    if not isinstance(head, nn.Module):
        raise MethodError(f"lp-ft needs a model whose unembedding trains; that of {type(model).__name__} is fixed")
    head.requires_grad_(True)
    first = replace(config, steps=round(head_share * config.steps))
    second = replace(config, steps=config.steps - first.steps, seed=another_seed(config.seed, 1))
    done = fit(tuned, task, first)
    tuned.requires_grad_(True)
    if done.steps == first.steps:  # otherwise it diverged, or the observer ended it
        fit(tuned, task, second)
    return tuned
