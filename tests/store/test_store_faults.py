"""The store under damage, kill -9, several processes and a full disk."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from store_content import CONTENT, FILES, KEY, TENSORS, assert_nothing_saved, built, same_tensors, saved

from capbench.errors import CapbenchError, UsageError
from capbench.store.store import DamagedArtefact, Store, default_root


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


# ---- damage


@contextmanager
def damage_reported(what: str) -> Iterator[None]:
    with pytest.warns(DamagedArtefact, match=what) as caught:
        yield
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def reformat(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))


def say_list(path: Path) -> None:
    path.write_text("[]")


@pytest.mark.parametrize(
    "name, damage",
    [
        *((name, damage) for name in FILES for damage in (truncate, empty, Path.unlink)),
        *(("meta.json", damage) for damage in (reformat, say_list)),
    ],
)
def test_a_damaged_artefact_is_reported_moved_away_and_built_again(
    store: Store, name: str, damage: Callable[[Path], None]
) -> None:
    place = saved(store)
    damage(place / name)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with damage_reported(rf"artefact {KEY} is damaged \(.*{re.escape(name)}.*\): moved to '.*/damaged/"):
        assert store.load(KEY) is None
    (moved,) = (store.root / "damaged").iterdir()
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == before
    assert not place.exists()
    counts: list[int] = []
    assert same_tensors(built(store, counts).tensors, TENSORS)
    assert counts == [1]


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(FILES), st.integers(0), st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(name: str, position: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        place = saved(store)
        data = bytearray((place / name).read_bytes())
        data[position % len(data)] ^= 1 << bit
        (place / name).write_bytes(data)
        if name == "meta.json":
            with damage_reported("meta.json"):
                assert store.meta(KEY) is None
        else:
            assert store.meta(KEY) == CONTENT["meta"]
            with damage_reported(f"SHA-256 of {name}"):
                assert store.load(KEY) is None
        assert not store.has(KEY)


def test_metadata_without_its_tensors_is_damage_too(store: Store) -> None:
    (saved(store) / "tensors.safetensors").unlink()
    with damage_reported(r"tensors\.safetensors is missing"):
        assert store.meta(KEY) is None


def test_an_artefact_under_another_key_is_damage(store: Store) -> None:
    place = saved(store)
    other = place.parent / (KEY[:2] + "0" * 30)
    place.rename(other)
    with damage_reported("not what was written for this key"):
        assert store.load(other.name) is None


def test_damage_is_left_alone_while_another_holds_the_lock(store: Store) -> None:
    place = saved(store)
    truncate(place / "tensors.safetensors")
    done, held = threading.Event(), threading.Event()

    def hold() -> None:
        with store.lock(KEY):
            held.set()
            done.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    with damage_reported("left at"):
        assert store.load(KEY) is None
    done.set()
    holder.join()
    assert place.exists()
    with damage_reported("moved to"):
        assert store.load(KEY) is None


def test_a_save_replaces_an_incomplete_artefact(store: Store) -> None:
    (saved(store) / "meta.json").unlink()
    saved(store)
    assert store.meta(KEY) == CONTENT["meta"]


# ---- processes


def worker(*arguments: object) -> subprocess.Popen[str]:
    script = Path(__file__).parents[1] / "helpers" / "store_worker.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])}
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.slow
def test_kill_9_at_any_moment_of_a_save_leaves_all_or_nothing(store: Store) -> None:
    with worker("die", store.root, "killed") as process:
        ends = dict(line.split() for line in process.communicate(timeout=60)[0].splitlines())
    *deaths, last = (int(end) for end in ends.values())
    assert last == 0  # the last child was not killed: all moments have been tried
    assert set(deaths) == {-signal.SIGKILL, -signal.SIGXFSZ} and len(deaths) > 12, deaths
    left = {path.name.split(".")[0] for path in (store.root / "tmp").iterdir()}
    present = {key for n in ends if store.has(key := f"killed-{n}")}
    assert len(left) > 5 and len(present) > 1 and not left & present  # deaths on both sides of the rename
    for n in ends:
        key = f"killed-{n}"
        counts: list[int] = []
        loaded = store.load(key)  # whole or absent: damage would warn, and warnings are errors
        assert (loaded is not None) == (key in present)
        assert loaded is None or torch.equal(loaded.tensors["x"], torch.arange(1000))
        built(store, counts, key)  # the dead process's lock is not in the way
        assert len(counts) == (key not in present)
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.slow
def test_two_processes_build_the_same_artefact_once(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "builds"
    with worker("build", store.root, KEY, log) as one, worker("build", store.root, KEY, log) as other:
        pair = (one, other)
        for process in pair:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in pair:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [process.communicate(timeout=60)[0] for process in pair]
    builds = log.read_text().split()
    assert len(builds) == 1
    assert results == [f"{builds[0]} [0, 1, 2, 3]\n"] * 2


def test_the_lock_of_a_killed_process_is_released(store: Store) -> None:
    with worker("hold", store.root, KEY) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with store.try_lock(KEY) as while_alive:
            assert not while_alive
        process.kill()
        process.wait()
        with store.try_lock(KEY) as when_dead:
            assert when_dead


def test_reading_metadata_does_not_import_torch(store: Store) -> None:
    saved(store)
    code = f"""if True:
        import sys
        from capbench.store.keys import key_of
        from capbench.store.store import Store, default_root
        print(Store({str(store.root)!r}).meta({KEY!r}), "torch" in sys.modules, "safetensors" in sys.modules)"""
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout == f"{CONTENT['meta']} False False\n"


def test_old_temporary_directories_are_swept_and_those_in_use_are_not(store: Store) -> None:
    old, recent = (store.root / "tmp" / name for name in ("old-key.1", "recent-key.1"))
    for path in (old, recent):
        path.mkdir()
        (path / "meta.json").write_text("{")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    saved(store)
    assert [path.name for path in (store.root / "tmp").iterdir()] == [recent.name]


def test_a_temporary_directory_is_swept_though_the_clock_was_set_back_and_never_while_its_key_is_locked(
    store: Store,
) -> None:
    year = 365 * 24 * 3600.0
    for name, age in (("future-key.1", -year), ("old-key.1", year)):
        (store.root / "tmp" / name).mkdir()
        os.utime(store.root / "tmp" / name, (time.time() - age,) * 2)
    with worker("hold", store.root, "old-key") as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        saved(store)
        assert [path.name for path in (store.root / "tmp").iterdir()] == ["old-key.1"]
        process.kill()


# ---- file system trouble


def refused(root: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        Store(root)
    message = str(caught.value)
    assert repr(str(root)) in message and "\n" not in message
    return message


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "it is a file" in refused(tmp_path / "file")
    assert "Not a directory" in refused(tmp_path / "file" / "below")


def test_a_root_that_cannot_be_created_is_refused() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc, where nobody can create a directory, not even root")
    refused("/proc/capbench")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; /proc stands in for it above")
def test_an_unwritable_root_is_refused(tmp_path: Path) -> None:
    Store(tmp_path)
    for folder in ("artefacts", "locks", "tmp"):
        (tmp_path / folder).chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert "permission" in refused(tmp_path)
        (tmp_path / "tmp").chmod(0)
        assert "Permission denied" in refused(tmp_path / "tmp" / "below")
    finally:
        for folder in ("artefacts", "locks", "tmp"):
            (tmp_path / folder).chmod(stat.S_IRWXU)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert "No space left on device" in save_fails(store)
    assert_nothing_saved(store)
    assert built(store, []).meta == CONTENT["meta"]


def test_a_write_that_fails_half_way_leaves_nothing(store: Store) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # real partial writes: the kernel stops at 100 bytes
    try:
        message = save_fails(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "File too large" in message
    assert_nothing_saved(store)
    assert built(store, []).meta == CONTENT["meta"]


def save_fails(store: Store) -> str:
    with pytest.raises(CapbenchError) as caught:
        saved(store)
    message = str(caught.value)
    assert str(store.root / "artefacts" / KEY[:2] / KEY) in message and "\n" not in message
    return message


def test_files_and_directory_are_on_disk_before_the_rename(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, rename = os.fsync, os.rename
    synced: list[int] = []
    synced_before: list[int] = []

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def watched_rename(source: Path, target: Path) -> None:
        rename(source, target)
        synced_before.extend(synced)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    place = saved(store)
    assert {path.stat().st_ino for path in (place, *place.iterdir())} == set(synced_before)
    assert {path.stat().st_ino for path in place.parents[:2]} == set(synced) - set(synced_before)


def test_an_interrupt_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            saved(store)
    assert_nothing_saved(store)


def test_the_default_root_is_the_option_then_the_environment_then_the_user_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPBENCH_CACHE", str(tmp_path / "environment"))
    assert default_root(str(tmp_path / "option")) == tmp_path / "option"
    assert default_root() == tmp_path / "environment"
    monkeypatch.delenv("CAPBENCH_CACHE")
    assert default_root().name == "capbench"
