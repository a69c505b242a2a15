"""Configs of the PEFT library: read from a file, checked, and fitted to a model."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import json
import re
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import nn

from capbench.errors import MethodError
from capbench.models.base import Model

# Adapters that `fit` cannot train, though PEFT could merge them.
_OWN_LOOP = {
    "ADALORA": "moves ranks between maps in a training loop of its own",
    "XLORA": "mixes adapters trained before",
}
# Of no account here, or (inference_mode: that of a trained adapter) in the way.
_IGNORED = {"task_type", "base_model_name_or_path", "revision", "auto_mapping", "peft_version", "inference_mode"}


def peft_library(method: str) -> Any:
    """The module `peft`. Raises MethodError where it is not installed."""
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise MethodError(f"{method} needs the PEFT library: pip install 'capbench[peft]'") from error


def read(file: Path, method: str) -> Any:
    """The PeftConfig that a file describes, to be trained (files of trained adapters say `inference_mode`)."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"{method}: {str(file)!r} cannot be read as JSON: {shortened(error)}") from error
    peft_library(method)
    mapping = importlib.import_module("peft.mapping")
    kinds = {str(kind.value): config for kind, config in mapping.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = raw.get("peft_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise MethodError(f"{method}: peft_type is {kind!r}, which PEFT does not know; as in LORA, IA3, LOHA, VERA")
    if kind in _OWN_LOOP:
        raise MethodError(f"{method}: type {kind} is not supported: it {_OWN_LOOP[kind]}")
    known = {field.name for field in dataclasses.fields(kinds[kind]) if field.init}
    unknown = sorted(key for key, value in raw.items() if key not in known and value)  # newer versions write more keys
    if unknown:
        raise MethodError(
            f"{method}: {unknown[0]!r} is no key of a config of type {kind}; it has {', '.join(sorted(known))}"
        )
    try:
        adapter = kinds[kind](**{k: v for k, v in raw.items() if k in known - _IGNORED})
    except Exception as error:
        raise MethodError(f"{method}: PEFT refuses it: {shortened(error)}") from error
    tuner = mapping.PEFT_TYPE_TO_TUNER_MAPPING.get(adapter.peft_type)
    if adapter.is_prompt_learning or adapter.is_adaption_prompt or tuner is None:
        raise MethodError(f"{method}: an adapter of type {kind} cannot be merged back into the weights")
    return adapter


def resolved(adapter: Any, model: Model, method: str) -> Any:
    """The config for this model: `all-linear` spelt out. Raises MethodError for targets that the model does not have."""
    adapter = copy.deepcopy(adapter)
    targets = getattr(adapter, "target_modules", None)
    maps = ", ".join(name for name, part in model.named_modules() if isinstance(part, nn.Linear))
    if targets is None and not getattr(adapter, "target_parameters", None):
        raise MethodError(f"{method}: it has no target_modules; the model's linear maps are {maps}")
    if isinstance(targets, str) and targets.lower() == "all-linear":
        adapter.target_modules = set(model.neurons())  # the unembedding excluded, as PEFT means it
    elif missing := _missing(targets or (), [name for name, _ in model.named_modules()]):
        quoted = ", ".join(map(repr, missing))
        raise MethodError(f"{method}: target_modules {quoted} not in the model; its linear maps are {maps}")
    if adapter.peft_type == "IA3" and adapter.feedforward_modules is None:
        raise MethodError(f"{method}: it has no feedforward_modules: name those of the target_modules, or give []")
    return adapter


def _missing(targets: str | Collection[str], names: list[str]) -> list[str]:
    """Targets that match no module, as PEFT matches: a regular expression, or whole ends of names."""
    if isinstance(targets, str):
        with contextlib.suppress(re.error):
            return [] if any(re.fullmatch(targets, name) for name in names) else [targets]
        return [targets]
    return [t for t in sorted(targets) if not any(f".{name}".endswith(f".{t}") for name in names)]


def kind_of(adapter: Any) -> str:
    """The type of a PeftConfig as its file spells it."""
    return str(getattr(adapter.peft_type, "value", adapter.peft_type))


def shortened(error: Exception) -> str:
    """An exception as one line that is not too long: PEFT quotes whole modules."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …")
