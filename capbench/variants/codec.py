"""Variants as JSON and back: what a report holds is enough to try a claim on the same variant again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import describe
from capbench.protocols.own import TaskSpec
from capbench.protocols.variant import Variant
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.prompt import PromptFormat
from capbench.tasks.pcfg.setting import PcfgSetting

_TYPES = {t.__name__: t for t in (Variant, TaskSpec, PcfgSetting, Grammar, PromptFormat)}


def plain(variant: Variant) -> dict[str, Any]:
    """A variant as plain values."""
    found: dict[str, Any] = describe(variant)
    return found


def variant_of(raw: Mapping[str, Any]) -> Variant:
    """The inverse of `plain`. Raises UsageError, one line, for what is no variant."""
    try:
        found = _read(raw)
    except (AttributeError, KeyError, TypeError, ValueError, CapbenchError) as error:
        raise UsageError(f"not a variant: {type(error).__name__}: {error}") from None
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


def _trials(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All trials of a results.json."""
    return [trial for record in results.get("records", ()) for trial in record.get("trials", ())]


class Kept:
    """The variants that claims were tried on, by id, in files below the cache: so that one can be tried again by its id."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "variants"

    def keep(self, variant: Variant) -> None:
        """Write it down, unless it is there."""
        file = self._folder / f"{variant.id}.json"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}")  # with pytest-xdist all processes write the same variants
            part.write_text(json.dumps(plain(variant)), encoding="utf-8")
            part.replace(file)

    def find(self, id_: str, reports: Path) -> Variant:
        """The variant of an id, from the cache or from a report below a folder. Raises UsageError if there is none."""
        file = self._folder / f"{Path(id_).name}.json"
        places = [*([file] if file.exists() else []), *sorted(reports.rglob("results.json"))]
        for place in places:
            try:
                raw = json.loads(place.read_text(encoding="utf-8"))
                for trial in [{"id": id_, "variant": raw}] if place == file else _trials(raw):
                    if trial["id"] == id_:
                        return variant_of(trial["variant"])
            except UsageError as error:
                raise UsageError(f"--capbench-replay={id_}: {place}: {error}") from None
            except (OSError, AttributeError, KeyError, TypeError, ValueError):
                continue  # a damaged file, or no report of ours: perhaps the next one has it
        raise UsageError(
            f"--capbench-replay={id_}: there is no such variant in {self._folder} or in a report below {reports}; "
            "reports name the ids of their variants"
        )
