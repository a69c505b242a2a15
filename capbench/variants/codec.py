"""Variants as JSON and back: what a report holds is enough to try a claim on the same variant again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import describe
from capbench.studies.deletion.conditions import Conditions
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.variant import Variant
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.prompt import PromptFormat
from capbench.tasks.pcfg.setting import PcfgSetting

AnyVariant = Variant | Conditions  # what a claim may be tried on: another task, or the paper's under other conditions
_TYPES = {t.__name__: t for t in (Variant, Conditions, TaskSpec, PcfgSetting, Grammar, PromptFormat)}


def plain(variant: AnyVariant) -> dict[str, Any]:
    """A variant as plain values."""
    found: dict[str, Any] = describe(variant)
    return found


def variant_of(raw: Mapping[str, Any]) -> AnyVariant:
    """The inverse of `plain`. Raises UsageError, one line, for anything that is not a variant."""
    try:
        found = _read(raw)
    except (AttributeError, KeyError, TypeError, ValueError, CapbenchError) as error:
        raise UsageError(f"not a variant: {type(error).__name__}: {error}") from None
    if isinstance(found, Conditions):
        return found
    if not isinstance(found, Variant) or not isinstance(found.task, TaskSpec):
        raise UsageError(f"not a variant: {str(raw)[:80]}")
    return found


def _read(raw: Any) -> Any:
    if isinstance(raw, list):
        return tuple(map(_read, raw))
    if isinstance(raw, Mapping):
        if isinstance(raw.get("type"), str):  # a grammar may have a symbol of this name, with a list of rules
            return _TYPES[raw["type"]](**{name: _read(value) for name, value in raw.items() if name != "type"})
        return {name: _read(value) for name, value in raw.items()}
    return raw
