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

# Adapters that PEFT could merge but `fit` cannot train.
_OWN_LOOP = {
    "ADALORA": "reallocates ranks in its own training loop",
    "XLORA": "mixes adapters that are already trained",
}
# Irrelevant here; inference_mode, set for a trained adapter, would prevent training.
_IGNORED = {"task_type", "base_model_name_or_path", "revision", "auto_mapping", "peft_version", "inference_mode"}


def peft_library(method: str) -> Any:
    """The module `peft`. Raises MethodError if it is not installed."""
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise MethodError(f"{method} needs the PEFT library: pip install 'capbench[peft]'") from error


def read(file: Path, method: str) -> Any:
    """The PeftConfig in a file, ready to train (the file of a trained adapter sets `inference_mode`)."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"{method}: {str(file)!r} cannot be read as JSON: {shortened(error)}") from error
    peft_library(method)
    mapping = importlib.import_module("peft.mapping")
    kinds = {str(kind.value): config for kind, config in mapping.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = raw.get("peft_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise MethodError(f"{method}: peft_type {kind!r} is unknown to PEFT; use one such as LORA, IA3, LOHA or VERA")
    if kind in _OWN_LOOP:
        raise MethodError(f"{method}: type {kind} is not supported: it {_OWN_LOOP[kind]}")
    known = {field.name for field in dataclasses.fields(kinds[kind]) if field.init}
    unknown = sorted(key for key, value in raw.items() if key not in known and value)  # newer versions write more keys
    if unknown:
        raise MethodError(
            f"{method}: {unknown[0]!r} is not a key of a config of type {kind}; known: {', '.join(sorted(known))}"
        )
    try:
        adapter = kinds[kind](**{k: v for k, v in raw.items() if k in known - _IGNORED})
    except Exception as error:
        raise MethodError(f"{method}: PEFT rejects the config: {shortened(error)}") from error
    tuner = mapping.PEFT_TYPE_TO_TUNER_MAPPING.get(adapter.peft_type)
    if adapter.is_prompt_learning or adapter.is_adaption_prompt or tuner is None:
        raise MethodError(f"{method}: an adapter of type {kind} cannot be merged into the weights")
    return adapter


def resolved(adapter: Any, model: Model, method: str) -> Any:
    """The config for this model: `all-linear` expanded. Raises MethodError for targets that the model does not have."""
    adapter = copy.deepcopy(adapter)
    targets = getattr(adapter, "target_modules", None)
    maps = ", ".join(name for name, part in model.named_modules() if isinstance(part, nn.Linear))
    if targets is None and not getattr(adapter, "target_parameters", None):
        raise MethodError(f"{method}: target_modules is missing; the model's linear maps are {maps}")
    if isinstance(targets, str) and targets.lower() == "all-linear":
        adapter.target_modules = set(model.neurons())  # without the unembedding, as PEFT defines it
    elif missing := _missing(targets or (), [name for name, _ in model.named_modules()]):
        quoted = ", ".join(map(repr, missing))
        raise MethodError(f"{method}: target_modules {quoted} are not in the model; its linear maps are {maps}")
    if adapter.peft_type == "IA3" and adapter.feedforward_modules is None:
        raise MethodError(f"{method}: feedforward_modules is missing: list those among target_modules, or []")
    return adapter


def _missing(targets: str | Collection[str], names: list[str]) -> list[str]:
    """Targets that match no module by PEFT's rules: a regular expression, or a suffix of whole name parts."""
    if isinstance(targets, str):
        with contextlib.suppress(re.error):
            return [] if any(re.fullmatch(targets, name) for name in names) else [targets]
        return [targets]
    return [t for t in sorted(targets) if not any(f".{name}".endswith(f".{t}") for name in names)]


def kind_of(adapter: Any) -> str:
    """The type of a PeftConfig as written in its file."""
    return str(getattr(adapter.peft_type, "value", adapter.peft_type))


def shortened(error: Exception) -> str:
    """An exception as one short line: PEFT quotes whole modules."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …")
