"""BitFit: only bias terms train (Ben Zaken, Ravfogel & Goldberg 2022, ACL, arXiv 2106.10199)."""

from __future__ import annotations

import copy
from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.common import check
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit


def bitfit(model: Model, task: Task, config: TrainConfig, *, lr_factor: float = 1.0) -> Model:
    """Fine-tune the biases of a copy: those of linear maps and of LayerNorms, as in the paper. `config.steps` steps.

    lr_factor: multiplies the learning rate of `config`; the paper's rates for biases are about ten times those for all weights.
    Raises MethodError for a model without biases.
    """
    check("bitfit", "lr_factor", lr_factor, "a number above 0", lambda v: v > 0)
    tuned = copy.deepcopy(model).requires_grad_(False)
    biases = [p for name, p in tuned.named_parameters() if name.rpartition(".")[2] == "bias"]
    if not biases:
        raise MethodError(f"bitfit needs a model with biases; {type(model).__name__} has none")
    for bias in biases:
        bias.requires_grad_(True)
    fit(tuned, task, replace(config, lr=lr_factor * config.lr))
    return tuned.requires_grad_(True)
