"""What lies in a store, how large it is, whether it is whole, and taking out what was not used for long. No torch."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from capbench.store.leases import needed, turn
from capbench.store.store import META, TENSORS, Store, is_key

_AT_ONCE = 64  # artefacts that are taken out while running jobs have to wait
# Below a store's root, what else takes room: kept for inspection, unfinished trainings, being written.
_BESIDE = ("damaged", "partial", "tmp", "retrained", "variants", "examples", "stories")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An artefact. size: of its files, in bytes. used: when it was last, in seconds since 1970."""

    key: str
    size: int
    used: float


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was taken out, or would be. size: in bytes. needed: artefacts that stayed because a running job needs them."""

    artefacts: int = 0
    size: int = 0
    needed: int = 0


def entries(store: Store) -> Iterator[Entry]:
    """Every artefact, in no order, also one that lacks a file. What is removed meanwhile is left out, and what is none."""
    for shelf in _scanned(store.root / "artefacts"):
        for place in _scanned(Path(shelf.path)):
            if not is_key(place.name) or place.name[:2] != shelf.name:  # such as a copy that a file manager made
                continue
            try:
                found = Entry(key=place.name, size=_size_of_artefact(place.path), used=place.stat().st_mtime)
            except OSError:
                continue
            yield found


def beside(store: Store) -> dict[str, int]:
    """Bytes of what else lies there, by folder; only folders that hold something."""
    found = {name: _size(store.root / name) for name in _BESIDE}
    return {name: size for name, size in found.items() if size}


def prune(store: Store, *, older_than: float, dry_run: bool = False) -> Pruned:
    """Take out the artefacts that were not used for this long (seconds), and what killed jobs left unfinished as long ago.

    What a running job needs stays. Interrupted at any moment, an artefact is there as a whole or not at all. dry_run: only count.
    """
    until = time.time() - older_than
    _sweep(store, until, dry_run=dry_run)
    old = [entry for entry in entries(store) if entry.used <= until]
    found = Pruned()
    for first in range(0, len(old), _AT_ONCE):
        moved: list[Path] = []
        try:
            with turn(store):
                kept = needed(store)
                for entry in old[first : first + _AT_ONCE]:
                    if entry.key in kept:
                        found = replace(found, needed=found.needed + 1)
                    elif dry_run or _taken(store, entry.key, until, moved):
                        found = replace(found, artefacts=found.artefacts + 1, size=found.size + entry.size)
        finally:
            for path in moved:
                shutil.rmtree(path, ignore_errors=True)
    return found


def _taken(store: Store, key: str, until: float, moved: list[Path]) -> bool:
    """Move an artefact out of the way, unless another process builds it or has used it since it was listed."""
    place = store.root / "artefacts" / key[:2] / key
    with store.try_lock(key) as free:
        if not free or not place.is_dir() or place.stat().st_mtime > until:
            return False
        moved.append(store.root / "tmp" / f"{key}.{uuid.uuid4().hex}")
        os.rename(place, moved[-1])
    return True


def _sweep(store: Store, until: float, *, dry_run: bool) -> None:
    """Unfinished writing, and damaged artefacts, from before this time."""
    for name in ("tmp", "damaged"):
        for path in () if dry_run else _scanned(store.root / name):
            with suppress(OSError, ValueError), store.try_lock(path.name.partition(".")[0]) as free:
                if free and path.stat().st_mtime <= until:
                    shutil.rmtree(path.path, ignore_errors=True)


def _size_of_artefact(path: str) -> int:
    total = 0
    for name in (TENSORS, META):
        with suppress(FileNotFoundError):
            total += os.stat(f"{path}/{name}").st_size
    return total


def _size(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def _scanned(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The folders in a folder; none if it is gone."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        yield from (entry for entry in found if entry.is_dir(follow_symlinks=False))
