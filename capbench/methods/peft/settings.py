"""Settings of a PEFT config that would do nothing here, or that need what is not here: refused by name."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from capbench.errors import MethodError
from capbench.methods.peft.typed import mistyped

# Kinds that PEFT could merge but `fit` cannot train.
OWN_LOOP = {
    "ADALORA": "reallocates ranks in its own training loop",
    "XLORA": "mixes adapters that are already trained",
    "SHADOW": "trains a second network beside the model",
}
# They describe the file and the model that it was made for; inference_mode, set for a trained adapter, would prevent training.
_DESCRIBING = {"task_type", "base_model_name_or_path", "revision", "auto_mapping", "peft_version", "inference_mode"}

_DATA = "it needs data, which PEFT reads in a call of its own"
_NO_MEGATRON = "the model has no layers of Megatron"
_GPTQ = "it is for models that GPTQ quantized"
_OWN_LOSS = "it needs a term in the loss that capbench does not add"
_ASA = "it needs a call of PEFT after every step"

# What a setting would need, by its key, in configs of every kind.
_REFUSED = {
    "fan_in_fan_out": "it is for layers that store weights as [in, out]; the model's linear maps store [out, in]",
    "eva_config": _DATA,
    "corda_config": _DATA,
    "lora_ga_config": _DATA,
    "monteclora_config": _OWN_LOSS,
    "kasa_config": _OWN_LOSS,
    "megatron_config": _NO_MEGATRON,
    "megatron_core": _NO_MEGATRON,
    "use_qalora": _GPTQ,
    "qalora_group_size": _GPTQ,
    "arrow_config": "it mixes adapters that are already trained",
    "alora_invocation_tokens": "an adapter that waits for tokens cannot be merged into the weights",
    "layer_replication": "it adds layers, so that merged weights would not fit the model",
    "runtime_config": "it is for weights kept outside a GPU",
    "ensure_weight_tying": "the model ties no weights",
    "use_effective_conv2d": "the model has no convolutions",
    "boft_n_butterfly_factor": "it takes effect only with a CUDA extension of PEFT",
    "sample_at_inference": "the merged model draws nothing",
    "target_svd_config": "PEFT reads it nowhere; use effective_rank and rank_pattern",
    **dict.fromkeys(
        (
            "use_asa",
            "asa_target_subspaces",
            "init_warmup",
            "final_warmup",
            "mask_interval",
            "asa_importance_beta",
            "asa_uncertainty_beta",
            "asa_schedule_exponent",
        ),
        _ASA,
    ),
}
# The same of settings that only one kind ignores.
_REFUSED_IN = {
    ("HIRA", "rank_pattern"): "PEFT gives every map the rank r",
    ("LN_TUNING", "modules_to_save"): "PEFT does not merge them beside norms",
    ("OFT", "module_dropout"): "PEFT applies it nowhere",
}
_INITIAL = ("init_lora_weights", "init_weights")
_DATA_DRIVEN = ("eva", "corda", "lora_ga")


@dataclasses.dataclass(frozen=True)
class _Needs:
    """A setting that counts only where another one has one of these values (or any value but its default)."""

    other: str
    values: tuple[Any, ...] = ()

    def met(self, adapter: Any) -> bool:
        value = getattr(adapter, self.other)
        return value in self.values if self.values else bool(value)

    def __str__(self) -> str:
        return f"{self.other} is {' or '.join(map(repr, self.values))}" if self.values else f"{self.other} is set"


_NEEDS = {
    ("LORA", "loftq_config"): (_Needs("init_lora_weights", ("loftq",)),),
    ("ADAMSS", "svd_threshold"): (_Needs("use_dynamic_rank"),),
    ("DEFT", "init_scale"): (_Needs("init_weights", (False,)), _Needs("para", (False,))),
    ("DEFT", "init_weights"): (_Needs("para", (False,)),),
    ("DEFT", "alpha"): (_Needs("para", (False,)),),
    ("LOKR", "rank_dropout_scale"): (_Needs("rank_dropout"),),
    ("MISS", "mini_r"): (_Needs("init_weights", ("mini",)),),
    ("OFT", "eps"): (_Needs("coft"),),
    ("OFT", "num_cayley_neumann_terms"): (_Needs("use_cayley_neumann"),),
    ("PSOFT", "psoft_svd_lowrank_niter"): (_Needs("psoft_svd", ("lowrank",)),),
    ("PSOFT", "random_seed"): (_Needs("psoft_svd", ("lowrank",)),),
    ("PSOFT", "num_cayley_neumann_terms"): (_Needs("use_cayley_neumann"),),
    ("PSOFT", "cayley_neumann_eps"): (_Needs("use_cayley_neumann"),),
    ("SUPERTUNING", "lora_dropout"): (_Needs("r"),),
    ("TINYLORA", "init_v_bound"): (_Needs("init_weights", ("uniform",)),),
    ("WAVEFT", "n_frequency_pattern"): (_Needs("proportional_parameters", (False,)),),
}


def given(raw: Mapping[str, Any], config: type) -> dict[str, Any]:
    """The settings of a file that differ from PEFT's defaults, without those that only describe it.

    config: the class of this kind of config.
    """
    return {
        name: value
        for name, value in raw.items()
        if name not in _DESCRIBING
        and not (value is None and _default(config, name) in ({}, []))
        and not _is_default(config, name, value)
    }


def check_types(raw: Mapping[str, Any], config: type, method: str) -> None:
    """Raises MethodError that names the first setting whose value is of another type than PEFT declares.

    raw: what `given` gives. config: the class of this kind of config.
    """
    hints = typing.get_type_hints(config)
    for name, value in raw.items():
        number = isinstance(value, float) and name.rpartition("_")[2] in (
            "alpha",
            "lambda",
        )  # declared as whole numbers
        iterations = name in _INITIAL and isinstance(value, str) and value.startswith("pissa_niter_")
        refused = name in _INITIAL and value in _DATA_DRIVEN  # by check_effective, in better words
        if name == "peft_type" or number or iterations or refused:
            continue
        numbers = name.endswith("_pattern") and name != "layers_pattern"  # declared as an object of anything
        if wrong := mistyped(name, value, dict[str, float] if numbers else hints[name]):
            raise MethodError(f"{method}: {wrong}")


def check_effective(kind: str, raw: Mapping[str, Any], adapter: Any, method: str) -> None:
    """Raises MethodError that names a setting which this kind of adapter would ignore, or which needs what is not here.

    raw: what `given` gives. adapter: the PeftConfig made of it. Names of modules are checked in matched.py.
    """
    for name in _INITIAL:
        if raw.get(name) in _DATA_DRIVEN:
            raise MethodError(
                f"{method}: {name} {raw[name]!r} is not supported: {_DATA}; "
                "use true, 'gaussian', 'orthogonal', 'olora' or 'pissa'"
            )
    if raw.get("loftq_config") and (lacking := {"loftq_bits", "loftq_iter"} - raw["loftq_config"].keys()):
        raise MethodError(
            f"{method}: loftq_config needs loftq_bits and loftq_iter; it lacks {', '.join(sorted(lacking))}"
        )
    if kind == "TINYLORA" and raw.get("init_weights") not in (None, True, "uniform"):
        raise MethodError(
            f"{method}: init_weights {raw['init_weights']!r} leaves weights undefined; use true or 'uniform'"
        )
    for name, value in raw.items():
        if value in (None, "", [], {}):
            continue
        if why := _REFUSED_IN.get((kind, name)) or _REFUSED.get(name):
            raise MethodError(f"{method}: {name!r} is not supported: {why}; leave it out")
        for need in _NEEDS.get((kind, name), ()):
            if not need.met(adapter):
                raise MethodError(f"{method}: {name!r} takes effect only where {need}; set that, or leave {name!r} out")


def _default(config: type, name: str) -> Any:
    (field,) = (f for f in dataclasses.fields(config) if f.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _is_default(config: type, name: str, value: Any) -> bool:
    default = _default(config, name)
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        default = dataclasses.asdict(default)
    return bool(value == default and type(value) is type(default))
