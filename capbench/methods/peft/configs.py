"""Configs of the PEFT library: read from a file, checked, and fitted to a model."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import json
import re
import textwrap
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import nn

from capbench.errors import MethodError
from capbench.methods.peft.matched import check_names, matches, targeted
from capbench.methods.peft.settings import OWN_LOOP, check_effective, check_types, given
from capbench.models.base import Model
from capbench.reading import EncodingError, read_text


def peft_library(method: str) -> Any:
    """The module `peft`. Raises MethodError if it is not installed."""
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise MethodError(f"{method} needs the PEFT library: pip install 'capbench[peft]'") from error


def read(file: Path, method: str) -> Any:
    """The PeftConfig in a file, ready to train (the file of a trained adapter sets `inference_mode`)."""
    try:
        raw = json.loads(read_text(file), object_pairs_hook=_once)
    except EncodingError as error:
        raise MethodError(f"{method}: {str(file)!r} {error}") from None
    except (OSError, ValueError) as error:
        raise MethodError(f"{method}: {str(file)!r} cannot be read as JSON: {shortened(error)}") from error
    library = peft_library(method)
    mapping = importlib.import_module("peft.mapping")
    kinds = {str(kind.value): config for kind, config in mapping.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = raw.get("peft_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise MethodError(f"{method}: peft_type {kind!r} is unknown to PEFT; use one such as LORA, IA3, LOHA or VERA")
    if kind in OWN_LOOP:
        raise MethodError(f"{method}: type {kind} is not supported: it {OWN_LOOP[kind]}")
    known = {field.name for field in dataclasses.fields(kinds[kind]) if field.init}
    unknown = sorted(key for key, value in raw.items() if key not in known and value)  # newer versions write more keys
    if unknown:
        of = f"; the file is of PEFT {raw['peft_version']}" if raw.get("peft_version") else ""
        raise MethodError(
            f"{method}: {unknown[0]!r} is not a key of a config of type {kind} in the installed PEFT {library.__version__}{of}; "
            f"known: {', '.join(sorted(known))}"
        )
    settings = given({key: value for key, value in raw.items() if key in known}, kinds[kind])
    check_types(settings, kinds[kind], method)
    adapter = _made(kinds[kind], settings, method)
    tuner = mapping.PEFT_TYPE_TO_TUNER_MAPPING.get(adapter.peft_type)
    if adapter.is_prompt_learning or adapter.is_adaption_prompt or tuner is None:
        raise MethodError(f"{method}: an adapter of type {kind} cannot be merged into the weights")
    check_effective(kind, settings, adapter, method)
    return adapter


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key that stands in it twice: the first value would be lost."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is there twice")
        found[key] = value
    return found


def _made(config: Any, settings: dict[str, Any], method: str) -> Any:
    try:
        with warnings.catch_warnings():  # what PEFT only warns of is refused by `check_effective`
            warnings.simplefilter("ignore")
            return config(**settings)
    except Exception as error:
        raise MethodError(f"{method}: PEFT rejects the config: {shortened(error)}") from error


def resolved(adapter: Any, model: Model, method: str) -> Any:
    """The config for this model: `all-linear` expanded. Raises MethodError for targets that the model does not have."""
    adapter = copy.deepcopy(adapter)
    targets = getattr(adapter, "target_modules", None)
    maps = ", ".join(name for name, part in model.named_modules() if isinstance(part, nn.Linear))
    if targets is None and getattr(adapter, "target_parameters", None):
        adapter.target_modules = []  # with None, PEFT would look for an architecture that it knows
    elif targets is None:
        raise MethodError(f"{method}: target_modules is missing; the model's linear maps are {maps}")
    all_linear = isinstance(targets, str) and targets.lower() == "all-linear"
    if all_linear:
        adapter.target_modules = set(model.neurons())  # without the unembedding, as PEFT defines it
    elif missing := _missing(targets or (), [name for name, _ in model.named_modules()]):
        quoted = ", ".join(map(repr, missing))
        raise MethodError(f"{method}: target_modules {quoted} are not in the model; its linear maps are {maps}")
    if adapter.peft_type == "IA3" and adapter.feedforward_modules is None:
        raise MethodError(f"{method}: feedforward_modules is missing: list those among target_modules, or []")
    check_names(model, adapter, method, all_linear=all_linear)
    if all_linear:
        adapter.target_modules = set(targeted(adapter, adapter.target_modules))  # without those excluded, or saved
    return adapter


def _missing(targets: str | Collection[str], names: list[str]) -> list[str]:
    """Targets that match no module by PEFT's rules: a regular expression, or a suffix of whole name parts."""
    if isinstance(targets, str):
        with contextlib.suppress(re.error):
            return [] if any(re.fullmatch(targets, name) for name in names) else [targets]
        return [targets]
    return [t for t in sorted(targets) if not any(matches(t, name) for name in names)]


def kind_of(adapter: Any) -> str:
    """The type of a PeftConfig as written in its file."""
    return str(getattr(adapter.peft_type, "value", adapter.peft_type))


def shortened(error: Exception) -> str:
    """An exception as one short line: PEFT quotes whole modules."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …")
