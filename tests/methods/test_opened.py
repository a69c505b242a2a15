"""The files that a method opens: those that are in no key are noted, whoever opens them, and nothing else is."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from capbench.methods.opened import Opened, recording
from capbench.methods.specs.registry import files, find, load

AGE = 0.03  # seconds after which a file no longer counts as written just now


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in [n for n in sys.modules if n not in before and n.startswith(("capbench_method_", "capbench_test_"))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of several kinds, and one of each kind of folder."""
    place = tmp_path_factory.mktemp("data")
    (place / "side.json").write_text("{}")
    torch.save({"w": torch.zeros(1)}, place / "side.pt")
    safetensors.torch.save_file({"w": torch.zeros(1)}, place / "side.safetensors")
    np.save(place / "side.npy", np.zeros(1))
    sqlite3.connect(place / "side.db").close()
    time.sleep(AGE)
    return place


def in_thread(path: Path) -> None:
    thread = threading.Thread(target=path.read_text)
    thread.start()
    thread.join()


def through_safe_open(path: Path) -> None:
    with safetensors.safe_open(path, framework="pt") as file:  # type: ignore[attr-defined]
        assert list(file.keys()) == ["w"]


WAYS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "open": ("side.json", lambda path: open(path).close()),
    "open for both": ("side.json", lambda path: open(path, "r+").close()),
    "text of bytes": ("side.json", lambda path: open(os.fsencode(path), "rb").close()),
    "pathlib": ("side.json", lambda path: json.loads(path.read_text())),
    "relative": ("side.json", lambda path: open(os.path.relpath(path)).close()),
    "os.open": ("side.json", lambda path: os.close(os.open(path, os.O_RDONLY))),
    "thread": ("side.json", in_thread),
    "torch": ("side.pt", lambda path: torch.load(path)),
    "safetensors": ("side.safetensors", lambda path: safetensors.torch.load_file(path)),
    "safe_open": ("side.safetensors", through_safe_open),
    "numpy": ("side.npy", lambda path: np.load(path)),
    "memory map": ("side.npy", lambda path: np.load(path, mmap_mode="r")),
    "sqlite": ("side.db", lambda path: sqlite3.connect(path).close()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_noted_however_it_is_read(way: str, data: Path) -> None:
    name, read = WAYS[way]
    with recording() as opened:
        read(data / name)
    assert opened.undeclared([data / "mine.py"]) == [str(data / name)]
    assert opened.undeclared([data / "mine.py", data / name]) == opened.undeclared([data]) == []
    with recording() as later:
        pass
    read(data / name)
    assert later.read == set() and opened.undeclared([data / "mine.py"]) == [str(data / name)]


def test_files_that_are_written_temporary_or_of_no_user_are_not_noted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "log.txt").touch()
    (folder / "cache").mkdir()
    (folder / "cache" / "model.json").touch()
    monkeypatch.setenv("HOME", str(folder / "home"))
    hidden = folder / "home" / ".config" / "words.txt"
    installed = (".venv/lib/python3/site-packages", "dist-packages", "mine.egg-info")
    for place in (*installed, "home/.config", "home/.cache/huggingface"):
        (folder / place).mkdir(parents=True)
        (folder / place / "words.txt").touch()
    downloaded = folder / "home" / ".cache" / "huggingface" / "words.txt"
    time.sleep(AGE)
    with recording() as opened:
        for place in (*installed, "cache"):
            for file in (folder / place).iterdir():
                file.read_text()
        hidden.read_text()
        downloaded.read_text()
        with open("log.txt", "a") as log:
            log.write("now")
        Path("log.txt").read_text()
        torch.save({}, "mine.pt")  # written by native code
        torch.load("mine.pt")
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).read_text()
        Path(os.__file__).read_text()
        Path(torch.__file__).read_text()
        Path(sys.modules["capbench"].__file__ or "").read_text()
        Path("/dev/null").read_text()
        open(os.dup(1), closefd=True).close()
        with pytest.raises(FileNotFoundError):
            Path("missing.json").read_text()
    assert opened.undeclared([], own=[folder / "cache"]) == [str(downloaded)]
    assert opened.undeclared([downloaded]) == [str(folder / "cache" / "model.json")]


def test_a_method_may_lie_among_temporary_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(data))
    with recording() as opened:
        (data / "side.json").read_text()
    assert opened.undeclared([]) == []
    assert opened.undeclared([data / "mine.py"]) == [str(data / "side.json")]


def test_modules_that_only_running_shows_are_noted_by_their_source(folder: Path) -> None:
    for name in ("near", "far"):
        Path(f"capbench_test_{name}.py").write_text("X = 1\n")
    Path("mine.py").write_text(
        "import capbench_test_near\nTABLE = __import__('pathlib').Path('side.json').read_text()\n"
        "def tune(model, task, config): return __import__('capbench_test_' + 'far')\n"
    )
    Path("side.json").write_text("1")
    time.sleep(AGE)
    for _ in ("compiled now", "compiled before"):
        ref = find("mine.py:tune")
        with recording() as opened:
            load(ref)(None, None, None)
        assert opened.undeclared(files(ref)) == [str(folder / "capbench_test_far.py"), str(folder / "side.json")]
        for name in ("near", "far"):
            del sys.modules[f"capbench_test_{name}"]


def test_methods_that_run_in_turn_in_one_process_are_kept_apart(data: Path) -> None:
    """As in a stack: each has a context of its own, and is interrupted while it trains."""

    def method(name: str) -> Iterator[Opened]:
        with recording() as opened:
            (data / name).read_bytes()
            yield opened
            (data / f"../{data.name}/{name}").read_bytes()

    opener = safetensors.torch.safe_open
    one, other = copy_context(), copy_context()
    first, second = method("side.json"), method("side.pt")
    found = [one.run(next, first), other.run(next, second)]
    one.run(next, first, None)
    other.run(next, second, None)
    assert safetensors.torch.safe_open is opener
    assert [opened.undeclared([data / "mine.py"]) for opened in found] == [
        [str(data / "side.json")],
        [str(data / "side.pt")],
    ]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("os.environ['CAPBENCH_TEST_A']", ["CAPBENCH_TEST_A"]),
        (
            "os.getenv('CAPBENCH_TEST_A'), os.environ.get('CAPBENCH_TEST_NONE')",
            ["CAPBENCH_TEST_A", "CAPBENCH_TEST_NONE"],
        ),
        ("'CAPBENCH_TEST_A' in os.environ", ["CAPBENCH_TEST_A"]),
        ("dict(os.environ), {**os.environ}, os.environ.copy(), list(os.environ.items())", []),
        ("subprocess.run(['true'], env={**os.environ, 'X': '1'})", []),
        ("dict(os.environ), os.environ['CAPBENCH_TEST_A']", ["CAPBENCH_TEST_A"]),
        (
            "os.environ.update(CAPBENCH_TEST_B='1'), os.environ['CAPBENCH_TEST_B'], os.environ.pop('CAPBENCH_TEST_B')",
            [],
        ),
        ("tempfile.gettempdir(), os.path.expanduser('~'), shutil.which('true')", []),  # Python's own look-ups
    ],
)
def test_variables_that_the_users_code_looks_up_are_noted(
    source: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPBENCH_TEST_A", "1")
    Path("mine.py").write_text(
        f"import os, shutil, subprocess, tempfile\ndef tune(model, task, config): return {source}\n"
    )
    kind, before = type(os.environ), dict(os.environ)
    ref = find("mine.py:tune")
    with recording() as opened:
        load(ref)(None, None, None)
    assert opened.variables.asked_for() == names and opened.told(files(ref)) == (
        {"environment": names} if names else {}
    )
    assert type(os.environ) is kind and os.environ == before
