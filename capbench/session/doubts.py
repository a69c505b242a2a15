"""What makes results doubtful that hang on models from an earlier run: what is in no key, another version of torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError
from capbench.methods.specs.depends import content
from capbench.results import Record
from capbench.store.store import BUNDLED, Store

_NAMED = 3  # in one line


def doubts(records: Iterable[Record], store: Store) -> tuple[str, ...]:
    """One line for what each method read that is in no key, and for models made with another version of torch."""
    opened: dict[str, dict[str, bool]] = {}  # method -> file -> whether it was edited since a model was made
    looked_up: dict[str, set[str]] = {}
    made: dict[str, str] = {}  # key -> version of torch
    for record in records:
        for key in record.artefacts.values():
            meta = _meta(key, store)
            files = opened.setdefault(record.method, {})
            for file, was in meta.get("opened", {}).items():
                files[file] = files.get(file, False) or _now(file) != was
            looked_up.setdefault(record.method, set()).update(meta.get("environment", ()))
            if "torch" in meta and not meta.get(BUNDLED):  # those of the package are checked when it is built
                made[key] = _public(meta["torch"])
    here = _public(metadata.version("torch"))
    others = sorted(set(made.values()) - {here})
    lines: list[str] = []
    for method, files in opened.items():
        for edited in (True, False):
            if names := sorted(file for file in files if files[file] is edited):
                lines.append(_reads(method, names, edited=edited))
    lines += [_looks_up(method, sorted(names)) for method, names in looked_up.items() if names]
    for version in others:
        count = list(made.values()).count(version)
        models = "1 model was" if count == 1 else f"{count} models were"
        lines.append(
            f"{models} made with torch {version} and reused; this is torch {here}, which may round differently: "
            "another --capbench-cache makes all anew"
        )
    return tuple(lines)


def _reads(method: str, files: list[str], *, edited: bool) -> str:
    names = [_name(file) for file in files]
    were, them = ("was", "it") if len(names) == 1 else ("were", "them")
    stale = (
        f" and {were} edited since: its results are stale" if edited else ": after an edit its results would be stale"
    )
    return f"method {method} reads {_listed(names)} in no key{stale}; declare {them} with --capbench-method-depends={names[0]}"


def _looks_up(method: str, names: list[str]) -> str:
    what = f"environment variable{'s' * (len(names) > 1)}"
    return (
        f"method {method} reads the {what} {_listed(names)} in no key: after a change its results would be stale; give such "
        "values with --capbench-method-arg"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}, which {'is' if len(names) == 1 else 'are'}"


def _now(file: str) -> str:
    """The hash of the file's content; '' if it is no longer there."""
    with suppress(OSError):
        return content(Path(file))
    return ""


def _name(file: str) -> str:
    """The path, from the working directory if it is below that."""
    near = os.path.relpath(file)
    return file if near.startswith(os.pardir) else near


def _meta(key: str, store: Store) -> Mapping[str, Any]:
    """What is recorded of a model; nothing if it is not there. A damaged one was told of when it was looked for."""
    with warnings.catch_warnings(), suppress(CapbenchError):
        warnings.simplefilter("ignore")
        return store.meta(key) or {}
    return {}


def _public(version: str) -> str:
    """Without the build, as in 2.11.0+cpu."""
    return version.partition("+")[0]
