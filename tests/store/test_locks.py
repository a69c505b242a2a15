"""A cache on a file system that has no locks, or whose locks fail."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from store_content import CONTENT, KEY, built

from capbench.errors import CapbenchError, UsageError
from capbench.store.store import Store


def refuse(monkeypatch: pytest.MonkeyPatch, code: int, *, only: Callable[[str], bool] = lambda path: True) -> None:
    """Let the system refuse locks, of files whose path is so."""
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if not operation & fcntl.LOCK_UN and only(os.readlink(f"/proc/self/fd/{descriptor}")):
            raise OSError(code, os.strerror(code))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_files_stand_in_for_locks_that_a_file_system_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with Store(tmp_path).lock(KEY):  # leaves a file, which is nobody's lock
        pass
    refuse(monkeypatch, code)
    store = Store(tmp_path)  # warnings are errors here
    assert store.has_weak_locks
    held: list[bool] = []

    def look() -> None:
        with Store(tmp_path).try_lock(KEY) as ours:
            held.append(ours)

    def from_another_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    with store.lock(KEY), store.lock(KEY):
        from_another_thread()
    from_another_thread()
    assert held == [False, True]
    assert built(store, []).meta == CONTENT["meta"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EACCES, errno.EIO, errno.EINVAL, errno.EPERM])
def test_locks_that_are_refused_are_one_line_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    refuse(monkeypatch, code)
    with pytest.raises(UsageError) as caught:
        Store(tmp_path)
    assert str(caught.value) == (
        f"cannot use {str(tmp_path)!r} as the cache directory: files there cannot be locked ({os.strerror(code)}); "
        "give one on another file system"
    )
    assert list((tmp_path / "locks").iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_what_is_kept_on_a_full_disk_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    built(Store(tmp_path), [])
    refuse(monkeypatch, code)
    store = Store(tmp_path)
    assert store.meta(KEY) == CONTENT["meta"]
    with pytest.raises(CapbenchError, match=os.strerror(code)), store.lock("another"):
        pass


def test_a_lock_that_fails_later_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    assert not store.has_weak_locks
    refuse(monkeypatch, errno.ENOLCK, only=lambda path: KEY in path)
    with pytest.raises(CapbenchError, match="No locks available"), store.lock(KEY):
        pass
