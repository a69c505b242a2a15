"""`capbench cache`, through `main`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from cli_runs import run

from capbench.store.store import Store


@pytest.fixture
def cache(tmp_path: Path) -> str:
    """With two artefacts, one of which was used ten days ago."""
    store = Store(tmp_path / "cache")
    for key in ("aa", "bb"):
        store.save(key, kind="Pretrain", config={}, tensors={"w": torch.ones(9)}, meta={})
    os.utime(store.root / "artefacts" / "aa" / "aa", (0, 0))
    return str(store.root)


def test_it_lists_and_measures(cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run(capsys, "cache", "ls", "--cache", cache)
    assert [row.split()[:2] for row in listed.out.splitlines()] == [["bb", "Pretrain"], ["aa", "Pretrain"]]
    ended = run(capsys, "cache", "size", "--cache", cache)
    assert ended.code == 0 and "2 artefacts" in ended.out and cache in ended.out


def test_it_removes_what_was_not_used_for_long(cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, left in ((("--dry-run",), 2), ((), 1)):
        ended = run(capsys, "cache", "prune", "--older-than", "5d", "--cache", cache, *words)
        said = "would remove 1 artefact, " if words else "removed 1 artefact, "
        assert ended.code == 0 and ended.out.startswith(said)
        assert len(run(capsys, "cache", "ls", "--cache", cache).out.splitlines()) == left


def test_it_finds_what_is_damaged(cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "cache", "verify", "--cache", cache).out == "2 artefacts, none damaged\n"
    (Path(cache) / "artefacts" / "aa" / "aa" / "tensors.safetensors").write_bytes(b"no")
    ended = run(capsys, "cache", "verify", "--cache", cache)
    assert ended.code == 1 and "artefact aa is damaged" in ended.out and "2 artefacts, 1 damaged" in ended.out


@pytest.mark.parametrize("time", ["5", "d", "-1d", "nand", "5w", "infd"])
def test_a_time_that_is_none_is_one_line(time: str, cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "cache", "prune", f"--older-than={time}", "--cache", cache)
    assert ended.code == 2 and ended.err == (
        f"capbench: error: --older-than={time}: must be a number of days or hours, as in 30d or 12h\n"
    )
