"""(IA)^3: only keys, values and MLP units are rescaled (Liu et al. 2022, NeurIPS, arXiv 2205.05638). Needs PEFT."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.common import check
from capbench.methods.peft.adapters import tuned_by_adapter
from capbench.methods.peft.configs import peft_library
from capbench.models.base import Model
from capbench.tasks.base import Task

_OUTPUTS = ("qkv", "key", "value")  # rescaled after the map: rows of W and its bias
_INPUTS = ("mlp_out",)  # rescaled before the map, after the activation of the MLP's units: columns of W


def ia3(model: Model, task: Task, config: TrainConfig, *, lr_factor: float = 1.0) -> Model:
    """Train one factor per key, value and MLP unit of a copy, then merge them into the weights. `config.steps` steps.

    In a GPT, queries, keys and values are one map; the factors of queries stay at 1, as in the paper. Weight decay is off:
    it would pull factors to 0. lr_factor: multiplies the learning rate of `config` (the paper's 3e-3 is high).
    """
    check("ia3", "lr_factor", lr_factor, "a number above 0", lambda v: v > 0)
    outputs, inputs = ([n for n in model.neurons() if n.rpartition(".")[2] in ends] for ends in (_OUTPUTS, _INPUTS))
    if not outputs or not inputs:
        raise MethodError(f"ia3 needs a model with keys, values and an MLP; {type(model).__name__} lacks them")
    adapter = peft_library("ia3").IA3Config(target_modules=[*outputs, *inputs], feedforward_modules=inputs)
    config = replace(config, lr=lr_factor * config.lr)
    return tuned_by_adapter(model, task, config, adapter, method="ia3", prepare=_hold_queries)


def _hold_queries(adapted: nn.Module) -> None:
    for name, factors in adapted.named_parameters():
        if factors.requires_grad and ".qkv." in name:
            factors.register_hook(_keys_and_values)


def _keys_and_values(gradient: Tensor) -> Tensor:
    """The gradient of a fused map's factors, [3 * d_model, 1], with the queries' third set to 0."""
    kept = gradient.clone()
    kept[: len(kept) // 3] = 0
    return kept
