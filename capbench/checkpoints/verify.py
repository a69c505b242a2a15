"""Checking a folder that comes back from a training elsewhere, before it is judged. Imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from capbench.checkpoints import copies, identity, places, weights
from capbench.checkpoints.manifest import TUNED, Entry, Manifest, read
from capbench.errors import CapbenchError

Mark = Literal["ok", "note", "not yet", "WRONG"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is said of one file."""

    file: str
    mark: Mark
    message: str

    @property
    def tuned(self) -> bool:
        """Whether it is about weights that come back, not about what was exported."""
        return self.file.startswith(f"{TUNED}/")


def verify(folder: Path) -> list[Finding]:
    """One finding per exported file, per entry, and per name in tuned/ that belongs to no entry.

    Raises UsageError if the manifest is missing, damaged or of another schema.
    """
    manifest = read(folder)
    return [*_exported(folder, manifest), *_all_tuned(folder, manifest), *_stray(folder, manifest)]


def _exported(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    for path, file in manifest.files.items():
        try:
            with (folder / path).open("rb") as content:
                same = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        except FileNotFoundError:
            yield Finding(file=path, mark="WRONG", message="is missing; export again")
        except OSError as error:
            yield Finding(file=path, mark="WRONG", message=f"cannot be read ({error.strerror or error})")
        else:
            said = "as exported" if same else "is not what was exported (its SHA-256 differs); export again"
            yield Finding(file=path, mark="ok" if same else "WRONG", message=said)


def _all_tuned(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    found = {entry.id: _tuned(folder, manifest, entry) for entry in manifest.entries}
    for entry in manifest.entries:
        finding, hashed = found[entry.id]
        others = [other for other in manifest.entries if other is not entry]
        same = [other for other in others if hashed is not None and found[other.id][1] == hashed]
        if not same:
            yield finding
            continue
        other = next((other for other in same if other.base_tensors != entry.base_tensors), same[0])
        mark: Mark = "note" if other.base_tensors == entry.base_tensors else "WRONG"
        yield Finding(file=entry.tuned, mark=mark, message=f"{copies.said(entry, other)} ({entry.title})")


def _tuned(folder: Path, manifest: Manifest, entry: Entry) -> tuple[Finding, str | None]:
    """What is said of an entry alone, and the hash of its tensors if nothing is wrong with them."""

    def wrong(message: str) -> tuple[Finding, None]:
        return Finding(file=entry.tuned, mark="WRONG", message=f"{message} ({entry.title})"), None

    try:
        place = places.find(folder, entry)
        if place is None:
            return Finding(file=entry.tuned, mark="not yet", message=entry.title), None
        tensors = weights.tuned(folder, entry, place)
    except CapbenchError as error:
        return wrong(str(error))
    if found := list(weights.faults(tensors, manifest.files[entry.base].tensors)):
        return wrong(found[0] + (f", and {len(found) - 1} more" if len(found) > 1 else ""))
    hashed = identity.tensors_hash(tensors)
    if hashed == entry.base_tensors:
        return wrong("is the base model: nothing was trained")
    return Finding(file=entry.tuned, mark="ok", message=entry.title), hashed


def _stray(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    with suppress(CapbenchError):  # of tuned/ itself: said of every entry
        for path in places.strays(folder, manifest):
            message = "belongs to no entry of the manifest; check its name"
            yield Finding(file=path.relative_to(folder).as_posix(), mark="WRONG", message=message)
