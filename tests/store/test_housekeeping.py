"""Taking out of a store what was not used for long: nothing that a running job needs, and each artefact as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.store import housekeeping, leases
from capbench.store.housekeeping import Pruned, beside, entries, prune
from capbench.store.leases import hold
from capbench.store.store import DamagedArtefact, Store

DAY = 24 * 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def put(store: Store, key: str, *, days: float = 0.0) -> None:
    """An artefact that was used last so many days ago."""
    store.save(key, kind="Pretrain", config={}, tensors={"w": torch.ones(3)}, meta={})
    then = time.time() - days * DAY
    os.utime(store.root / "artefacts" / key[:2] / key, (then, then))


def keys(store: Store) -> set[str]:
    return {entry.key for entry in entries(store)}


@given(days=st.lists(st.integers(0, 40), min_size=1, max_size=6), limit=st.integers(1, 30), dry=st.booleans())
@settings(max_examples=15)
def test_what_was_used_since_stays_and_the_rest_goes(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], limit: int, dry: bool
) -> None:
    store = Store(tmp_path_factory.mktemp("cache"))
    for i, age in enumerate(days):
        put(store, f"k{i}", days=age + 0.5)
    sizes = {entry.key: entry.size for entry in entries(store)}
    old = {f"k{i}" for i, age in enumerate(days) if age + 0.5 >= limit}
    found = prune(store, older_than=limit * DAY, dry_run=dry)
    assert found == Pruned(artefacts=len(old), size=sum(sizes[key] for key in old))
    assert keys(store) == set(sizes) - (set() if dry else old)


def test_loading_is_using(store: Store) -> None:
    for key in ("aa", "bb"):
        put(store, key, days=9)
    store.load("aa")
    prune(store, older_than=DAY)
    assert keys(store) == {"aa"}


def test_what_a_running_job_needs_stays_until_it_ends(store: Store) -> None:
    for key in ("aa", "bb", "cc"):
        put(store, key, days=9)
    code = (
        "import sys; from capbench.store.store import Store; from capbench.store.leases import hold\n"
        "hold(Store(sys.argv[1]), ['aa']); hold(Store(sys.argv[1]), ['bb']); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None and job.stdout.readline() == "held\n"
        for key in ("aa", "bb"):  # holding is using; here it was long ago
            os.utime(store.root / "artefacts" / key[:2] / key, (0, 0))
        assert prune(store, older_than=DAY) == Pruned(artefacts=1, size=prune_size(store), needed=2)
        assert keys(store) == {"aa", "bb"}
        job.kill()
    assert prune(store, older_than=DAY).artefacts == 2
    assert not keys(store) and not list((store.root / "jobs").iterdir())


def prune_size(store: Store) -> int:
    return next(entry.size for entry in entries(store))


def test_what_this_process_needs_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_HELD", {})
    put(store, "aa", days=9)
    hold(store, ["aa", "not-there-yet"])
    os.utime(store.root / "artefacts" / "aa" / "aa", (0, 0))
    assert prune(store, older_than=0) == Pruned(needed=1)


def test_interrupted_it_leaves_each_artefact_whole_or_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(6):
        put(store, f"k{i}", days=9)
    real, calls = os.rename, []

    def third_time(*paths: Path) -> None:
        calls.append(paths)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*paths)

    monkeypatch.setattr(housekeeping.os, "rename", third_time)
    with pytest.raises(KeyboardInterrupt):
        prune(store, older_than=DAY)
    monkeypatch.undo()
    assert len(keys(store)) == 4 and all(store.intact(key) for key in keys(store))
    assert not list((store.root / "tmp").iterdir())
    assert prune(store, older_than=DAY).artefacts == 4


def test_what_another_process_builds_or_has_just_used_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "aa", days=9)
    put(store, "bb", days=9)
    listed = list(entries(store))
    store.load("aa")  # after it was listed
    monkeypatch.setattr(housekeeping, "entries", lambda _: iter(listed))
    assert prune(store, older_than=DAY).artefacts == 1
    assert keys(store) == {"aa"}


def test_what_else_takes_room(store: Store) -> None:
    put(store, "aa")
    assert beside(store) == {}
    (store.root / "partial" / "bb").mkdir(parents=True)
    (store.root / "partial" / "bb" / "0.snapshot").write_bytes(b"12345")
    assert beside(store) == {"partial": 5}


def test_what_lacks_a_file_is_seen_and_what_is_no_artefact_is_not(store: Store) -> None:
    put(store, "aa01", days=3)
    put(store, "bb02", days=3)
    artefacts = store.root / "artefacts"
    shutil.copytree(artefacts / "aa" / "aa01", artefacts / "aa" / "aa01 (copy)")
    (store.root / "tmp" / "a file of mine (copy)").mkdir(parents=True)
    (artefacts / "bb" / "bb02" / "tensors.safetensors").unlink()
    os.utime(artefacts / "bb" / "bb02", (0, 0))
    assert keys(store) == {"aa01", "bb02"}
    with pytest.warns(DamagedArtefact, match="missing"):
        assert not store.intact("bb02")
    assert prune(store, older_than=86400).artefacts == 1
    assert (artefacts / "aa" / "aa01 (copy)").is_dir()
