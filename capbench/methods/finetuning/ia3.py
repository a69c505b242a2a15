"""(IA)^3: only keys, values and MLP units are rescaled (Liu et al. 2022, NeurIPS, arXiv 2205.05638). Needs PEFT."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.common import check
from capbench.methods.peft.adapters import tuned_by_adapter
from capbench.methods.peft.configs import peft_library
from capbench.models.base import Model
from capbench.tasks.base import Task

# The last parts of names: in capbench's own models; then in Llama and its kin, GPT-2 and GPT-NeoX of transformers.
_OUTPUTS = (
    "qkv",
    "key",
    "value",
    "k_proj",
    "v_proj",
    "c_attn",
    "query_key_value",
)  # rescaled after: rows of W and its bias
_INPUTS = (
    "mlp_out",
    "down_proj",
    "mlp.c_proj",
    "dense_4h_to_h",
)  # before, after the activation of the units: columns of W
_IN_THIRDS = (".qkv.", ".c_attn.")  # queries, keys and values are one map: all queries first
_BY_HEAD = (".query_key_value.",)  # the same, but of each head by itself


def ia3(model: Model, task: Task, config: TrainConfig, *, lr_factor: float = 1.0) -> Model:
    """Train one factor per key, value and MLP unit of a copy, then merge them into the weights. `config.steps` steps.

    Where queries, keys and values are one map, the factors of queries stay at 1, as in the paper. Weight decay is off: it would
    pull factors to 0. lr_factor: multiplies the learning rate of `config` (the paper's 3e-3 is high).
    """
    check("ia3", "lr_factor", lr_factor, "a number above 0", lambda v: v > 0)
    outputs, inputs = (
        [n for n in model.neurons() if any(f".{n}".endswith(f".{end}") for end in ends)] for ends in (_OUTPUTS, _INPUTS)
    )
    if not outputs or not inputs:
        raise MethodError(f"ia3 needs a model with keys, values and an MLP; {type(model).__name__} lacks them")
    adapter = peft_library("ia3").IA3Config(target_modules=[*outputs, *inputs], feedforward_modules=inputs)
    config = replace(config, lr=lr_factor * config.lr)
    n_heads = getattr(getattr(getattr(model, "hf", None), "config", None), "num_attention_heads", 1)
    prepare = partial(_hold_queries, n_heads=n_heads)
    return tuned_by_adapter(model, task, config, adapter, method="ia3", prepare=prepare)


def _hold_queries(adapted: nn.Module, *, n_heads: int) -> None:
    for name, factors in adapted.named_parameters():
        groups = 1 if any(map(name.__contains__, _IN_THIRDS)) else n_heads * any(map(name.__contains__, _BY_HEAD))
        if factors.requires_grad and groups:
            factors.register_hook(partial(_keys_and_values, groups=groups))


def _keys_and_values(gradient: Tensor, *, groups: int) -> Tensor:
    """The gradient of a fused map's factors, [groups * 3 * width, 1], with the queries' thirds set to 0."""
    kept = gradient.clone()
    kept.view(groups, 3, -1)[:, 0] = 0
    return kept
