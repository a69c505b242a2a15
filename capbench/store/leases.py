"""Which artefacts running jobs need: a list of keys for each process, beside a lock that ends with it.

Below a store's root, `jobs/<name>.keys` holds keys, one a line, for as long as `jobs/<name>.lock` is locked. Who writes a list
and who removes artefacts takes turns (`turn`), so that nothing is removed once a job has said that it needs it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from capbench.store.store import Store

_FOLDER = "jobs"
_HELD: dict[tuple[int, Path], tuple[Path, BaseFileLock]] = {}  # of this process: its list and its lock, by store


def hold(store: Store, keys: Iterable[str]) -> None:
    """Say that this process needs these artefacts until it ends, whether they are there or not. What is there is used now.

    To be called before a job looks for them: what it finds then stays. On a full disk nothing can be said, and the job goes on.
    """
    keys, own = tuple(keys), (os.getpid(), store.root)
    with suppress(OSError), turn(store):
        if own not in _HELD:
            _HELD[own] = _begun(store)
        with _HELD[own][0].open("a", encoding="ascii") as opened:
            opened.writelines(f"{key}\n" for key in keys)
    for key in keys:
        store.used(key)


def needed(store: Store) -> set[str]:
    """The keys that running jobs said they need, this process's too. Lists of jobs that ended are removed. Within `turn`."""
    found: set[str] = set()
    own = {file for (process, _), (file, _) in _HELD.items() if process == os.getpid()}
    for file in _folder(store).glob("*.keys"):
        if file not in own and _ended(store, file):
            file.unlink(missing_ok=True)
            file.with_suffix(".lock").unlink(missing_ok=True)
        else:
            found.update(file.read_text(encoding="ascii").split())
    return found


@contextmanager
def turn(store: Store) -> Iterator[None]:
    """Keep other processes from saying what they need, and from removing, for as long as the block lasts."""
    with store.lock("jobs"):
        yield


def _begun(store: Store) -> tuple[Path, BaseFileLock]:
    name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    lock = store.lock_type(_folder(store) / f"{name}.lock")
    lock.acquire()
    return _folder(store) / f"{name}.keys", lock


def _ended(store: Store, file: Path) -> bool:
    """Whether nobody holds the list's lock. Where files stand in for locks, whether its process is gone."""
    if store.has_weak_locks:
        return not _runs(int(file.name.partition("-")[0]))
    lock = FileLock(file.with_suffix(".lock"))
    with suppress(Timeout):
        lock.acquire(timeout=0)
        lock.release()
        return True
    return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _folder(store: Store) -> Path:
    folder = store.root / _FOLDER
    folder.mkdir(exist_ok=True)
    return folder
