"""Keys of the user's own files: an edit that changes a result changes the key, however the file imports capbench."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import study

from capbench.store import code
from capbench.store.store import Store
from capbench.store.syntax import source_digest
from capbench.studies.lab import Bench, Lab

Key = Callable[..., str]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    """Writes a reading's file, and others by name, to a folder of their own, and gives the version of the reading."""
    made = 0

    def of(reading: str, **others: str) -> str:
        nonlocal made
        made += 1
        folder = tmp_path / str(made)
        folder.mkdir()
        for name, text in {"reading": reading, **others}.items():
            (folder / f"{name}.py").write_text(text)
        with monkeypatch.context() as m:
            m.setattr(sys, "path", [str(folder), *sys.path])
            return code.reading_code(frozenset({folder / "reading.py"}))

    return of


IN_TWO_PLACES = "def a():\n    {}\n    f()\ndef b():\n    {}\n    f()\n"
PROBE, PRUNE = "from capbench.measure.probe import ", "from capbench.measure.prune import "


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            IN_TWO_PLACES.format(f"{PROBE}x as f", f"{PROBE}z as f"),
            IN_TWO_PLACES.format(f"{PROBE}y as f", f"{PROBE}z as f"),
            id="one name, two imports",
        ),
        pytest.param(f"{PROBE}f as g\ndef a(f): g()", f"{PROBE}f\ndef a(f): f()", id="hidden by a parameter"),
        pytest.param(f"{PROBE}*\n{PRUNE}x\nx(f)", f"{PRUNE}*\n{PROBE}x\nx(f)", id="stars"),
        pytest.param(
            "from capbench.methods.finetuning.lora import tune\ntune()",
            "from capbench.methods.finetuning.full import tune\ntune()",
            id="methods",
        ),
    ],
)
def test_what_an_import_brings_in_counts(key: Key, before: str, after: str) -> None:
    assert key(before) == key(before) != key(after)


def test_what_a_file_imports_for_others_under_another_name_counts(key: Key) -> None:
    reading = "from passing import f\nf()"
    assert key(reading, passing=f"{PROBE}x as f") != key(reading, passing=f"{PROBE}y as f")


def test_two_files_that_change_places_count(key: Key) -> None:
    reading, one, two = "import a, b\na.f() - b.f()", "def f(): return 1", "def f(): return 2"
    assert key(reading, a=one, b=two) != key(reading, a=two, b=one)


@pytest.mark.parametrize("other", ["import capbench\ncapbench.fit()", "import capbench as cb\ncb.fit()"])
def test_the_public_face_counts_like_the_module_behind_it(key: Key, other: str) -> None:
    assert key(other) == key("from capbench.training.loop import fit\nfit()")


def test_a_digest_is_the_same_in_every_version_of_python() -> None:
    """Bundled models are found by it. Later versions than 3.11 add fields to the syntax tree and print no empty ones."""
    source = "class A:\n    def f(self, x=None, *, y: int = 1): return [x, {}, f'{y!r}', lambda: None]\n"
    assert source_digest(source) == "43489d253cab3b60"


DECORATED = """
from capbench import Measurement
from others_decorator import decorated
from others_value import VALUE

@decorated
def reading(bench):
    yield Measurement(name="one", value=VALUE, unit="", n=1, seed=bench.seed)
"""
DECORATOR = "import functools\ndef decorated(f):\n    return functools.wraps(f)(lambda *a, **k: f(*a, **k))\n"


def test_a_decorated_reading_is_made_again_when_what_it_imports_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def value(given: float) -> float:
        folder = tmp_path / f"with_{given}"
        folder.mkdir()
        files = {"others_reading": DECORATED, "others_decorator": DECORATOR, "others_value": f"VALUE = {given}\n"}
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        with monkeypatch.context() as m:
            m.syspath_prepend(folder)
            for name in files:
                m.delitem(sys.modules, name, raising=False)
            reading = importlib.import_module("others_reading").reading
            (found,) = Lab(Store(tmp_path)).read(reading, Bench(study=study(), seed=0), {})
        for name in files:
            sys.modules.pop(name, None)
        return found.value

    assert (value(1.0), value(2.0)) == (1.0, 2.0)
