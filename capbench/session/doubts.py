"""What makes results doubtful that hang on models from an earlier run: what is in no key, another version of torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any

from capbench.errors import CapbenchError
from capbench.results import Record
from capbench.store.store import BUNDLED, Store

_NAMED = 3  # in one line


def doubts(records: Iterable[Record], store: Store) -> tuple[str, ...]:
    """One line for what each method read that is in no key, and for models made with another version of torch."""
    opened: dict[str, set[str]] = {}
    looked_up: dict[str, set[str]] = {}
    made: dict[str, str] = {}  # key -> version of torch
    for record in records:
        for key in record.artefacts.values():
            meta = _meta(key, store)
            opened.setdefault(record.method, set()).update(meta.get("opened", ()))
            looked_up.setdefault(record.method, set()).update(meta.get("environment", ()))
            if "torch" in meta and not meta.get(BUNDLED):  # those of the package are checked when it is built
                made[key] = _public(meta["torch"])
    here = _public(metadata.version("torch"))
    others = sorted(set(made.values()) - {here})
    lines = [_reads(method, sorted(files)) for method, files in opened.items() if files]
    lines += [_looks_up(method, sorted(names)) for method, names in looked_up.items() if names]
    for version in others:
        count = list(made.values()).count(version)
        models = "1 model was" if count == 1 else f"{count} models were"
        lines.append(
            f"{models} made with torch {version} and reused; this is torch {here}, which may round differently: "
            "another --capbench-cache makes all anew"
        )
    return tuple(lines)


def _reads(method: str, files: list[str]) -> str:
    names = [_name(file) for file in files]
    them = "it" if len(names) == 1 else "them"
    return (
        f"method {method} reads {_listed(names)} in no key: after an edit its models are reused and its results are stale; "
        f"declare {them} with --capbench-method-depends={names[0]}"
    )


def _looks_up(method: str, names: list[str]) -> str:
    what = f"environment variable{'s' * (len(names) > 1)}"
    return (
        f"method {method} reads the {what} {_listed(names)} in no key: after a change its models are reused and its results are "
        "stale; give such values with --capbench-method-arg"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}, which {'is' if len(names) == 1 else 'are'}"


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
