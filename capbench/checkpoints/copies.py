"""The same weights under several entries: hardly ever the result of several trainings. No torch."""

from __future__ import annotations

import filecmp
from pathlib import Path

from capbench.checkpoints import places
from capbench.checkpoints.manifest import Entry, Manifest
from capbench.errors import CapbenchError


def said(entry: Entry, other: Entry) -> str:
    """What is said of an entry whose weights are those of another one."""
    how = "which started from another base model: one is a copy"
    return f"has the same weights as {other.tuned}" + (f", {how}" if entry.base_tensors != other.base_tensors else "")


def of(folder: Path, manifest: Manifest, entry: Entry) -> list[Entry]:
    """The other entries whose files are equal to this one's byte by byte."""
    own = _parts(folder, entry)
    return [other for other in manifest.entries if other.id != entry.id and _equal(own, _parts(folder, other))]


def warnings(folder: Path, manifest: Manifest) -> list[str]:
    """One line for each set of entries whose files are equal."""
    parts = {entry.id: _parts(folder, entry) for entry in manifest.entries}
    sets: list[list[Entry]] = []
    for entry in manifest.entries:
        alike = next((known for known in sets if _equal(parts[known[0].id], parts[entry.id])), None)
        sets.append([entry]) if alike is None else alike.append(entry)
    return [
        f"{len(alike)} files have the same weights: {', '.join(f'{e.tuned} ({e.title})' for e in alike[:3])}"
        + ", …" * (len(alike) > 3)
        for alike in sets
        if len(alike) > 1
    ]


def _parts(folder: Path, entry: Entry) -> list[Path]:
    """The files that hold an entry's weights; none if they cannot be found."""
    try:
        place = places.find(folder, entry)
        return [] if place is None else places.parts(place)
    except CapbenchError:
        return []


def _equal(some: list[Path], others: list[Path]) -> bool:
    """filecmp stops at the first difference: it reads a few kB of files that differ."""
    try:
        return (
            bool(some)
            and len(some) == len(others)
            and all(filecmp.cmp(a, b, shallow=False) for a, b in zip(some, others, strict=True))
        )
    except OSError:
        return False
