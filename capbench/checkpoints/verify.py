"""Checking a folder that comes back from a training elsewhere, before it is judged. Imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from capbench.checkpoints import identity, weights
from capbench.checkpoints.manifest import TUNED, Entry, Manifest, read
from capbench.errors import CapbenchError

Mark = Literal["ok", "not yet", "WRONG"]


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
    """One finding per exported file, per entry, and per file in tuned/ that belongs to no entry.

    Raises UsageError if the manifest is missing, damaged or of another schema.
    """
    manifest = read(folder)
    return [
        *_exported(folder, manifest),
        *(_tuned(folder, manifest, e) for e in manifest.entries),
        *_stray(folder, manifest),
    ]


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


def _tuned(folder: Path, manifest: Manifest, entry: Entry) -> Finding:
    if not (folder / entry.tuned).exists():
        return Finding(file=entry.tuned, mark="not yet", message=entry.title)
    try:
        tensors = weights.read(folder / entry.tuned)
    except CapbenchError as error:
        return Finding(file=entry.tuned, mark="WRONG", message=f"{error} ({entry.title})")
    found = list(weights.faults(tensors, manifest.files[entry.base].tensors))
    if not found and identity.tensors_hash(tensors) == entry.base_tensors:
        found = ["is the base model: nothing was trained"]
    if not found:
        return Finding(file=entry.tuned, mark="ok", message=entry.title)
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return Finding(file=entry.tuned, mark="WRONG", message=f"{found[0]}{more} ({entry.title})")


def _stray(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    known = {entry.tuned for entry in manifest.entries}
    for file in sorted((folder / TUNED).glob("*")):
        path = f"{TUNED}/{file.name}"
        if path not in known and not file.name.startswith("."):
            yield Finding(file=path, mark="WRONG", message="belongs to no entry of the manifest; check its name")
