"""What is bundled besides weights: curves of revivals and readings of models that no method had a part in. No torch.

All are in one compressed file. None has weights in a cache either, so none stands in for what is loaded as a model.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import Revive
from capbench.store.keys import canonical, plain
from capbench.store.store import BUNDLED, Store
from capbench.zoo.alike import described, without_code
from capbench.zoo.manifest import Kind, Record, Records, read


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A curve or reading that is to be bundled, or looked for. config: all that it depends on, which gives its key."""

    entry: Record
    config: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Content:
    """A bundled curve or reading: what a cache keeps of it."""

    config: Mapping[str, Any]
    meta: Mapping[str, Any]


def of_revival(step: Revive) -> Wanted:
    """The curve of a revival."""
    alike = without_code(described(step))
    return Wanted(entry=Record(key=step.key, kind="Revive", label=step.label, alike=alike), config=step.config)


def packed(wanted: Iterable[Wanted], store: Store) -> tuple[Records, bytes]:
    """These, which must be in the store, as the manifest names them, and their file."""
    found = {each.entry.key: each for each in wanted}
    ordered = sorted(found.values(), key=lambda each: (each.entry.kind, each.entry.label, each.entry.key))
    content = {each.entry.key: _content(each, store) for each in ordered}
    data = gzip.compress(canonical(plain(content, "records")), mtime=0)  # without the time: equal content, equal bytes
    entries = tuple(each.entry for each in ordered)
    return Records(sha256=hashlib.sha256(data).hexdigest(), size=len(data), entries=entries), data


def load(folder: Path, records: Records) -> dict[str, Content]:
    """By key. Raises CapbenchError, one line that begins with the reason, unless the file is whole and has them all."""
    try:
        data = (folder / records.file).read_bytes()
    except FileNotFoundError:
        raise CapbenchError("is missing") from None
    except OSError as error:
        raise CapbenchError(f"cannot be read ({error.strerror or error})") from None
    if hashlib.sha256(data).hexdigest() != records.sha256:
        raise CapbenchError("is damaged (its SHA-256 differs)")
    try:
        raw = json.loads(gzip.decompress(data))
        return {e.key: Content(config=raw[e.key]["config"], meta=raw[e.key]["meta"]) for e in records.entries}
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise CapbenchError(f"is not a file of curves and readings ({' '.join(str(error).split())})") from None


class Shelf:
    """The bundled readings, for a lab that misses one. A folder's file is read when the first of it is taken."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._places: dict[str, Path] | None = None  # by key
        self._content: dict[Path, dict[str, Content]] = {}

    def __call__(self, key: str) -> Mapping[str, Any] | None:
        """The metadata of a reading, None if it is not bundled, or not whole: then it is made, with a warning, once."""
        if self._places is None:
            self._places = {key: folder for folder in self._folders for key in _readings(folder)}
        if (folder := self._places.get(key)) is None:
            return None
        if folder not in self._content:
            self._content[folder] = _loaded(folder)
        found = self._content[folder].get(key)
        return None if found is None else {**found.meta, BUNDLED: True}


def _readings(folder: Path) -> list[str]:
    """The keys of those that its manifest names."""
    try:
        manifest = read(folder)
    except UsageError:  # said when models were looked for
        return []
    recorded = {} if manifest is None else manifest.recorded
    return [key for key, entry in recorded.items() if entry.kind == "Reading"]


def _loaded(folder: Path) -> dict[str, Content]:
    manifest = read(folder)
    if manifest is None or manifest.records is None:
        return {}
    try:
        return load(folder, manifest.records)
    except CapbenchError as error:
        warnings.warn(f"capbench: {damaged(manifest.records, error)}", UserWarning, stacklevel=3)
        return {}


def damaged(records: Records, error: CapbenchError) -> str:
    """What is said of a file that cannot be used."""
    return f"the package's file of curves and readings {records.file} {error}: they are made instead"


def _content(wanted: Wanted, store: Store) -> dict[str, Any]:
    kind: Kind = wanted.entry.kind
    artefact = store.load(wanted.entry.key)
    if artefact is None:
        raise CapbenchError(f"no artefact of '{wanted.entry.label}' in {store.root}")
    if artefact.tensors:
        raise CapbenchError(f"'{wanted.entry.label}' has weights: it cannot be bundled as a {kind}, which has none")
    meta = {name: value for name, value in artefact.meta.items() if name != BUNDLED}
    return {"config": wanted.config, "meta": meta}
