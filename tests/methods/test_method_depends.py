"""Data that a method declares counts like its source, travels with it, and is no longer told as unknown."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tiny_study import tuned

from capbench.errors import MethodError, UsageError
from capbench.methods.opened import recording
from capbench.methods.specs.registry import MethodRef, files, find, load
from capbench.pipeline.executors.on_ray import sources as on_ray
from capbench.pipeline.steps import FineTune
from capbench.session.options.checked import Options
from capbench.session.options.given import Given
from capbench.session.options.row import PYTEST

SOURCE = """
from pathlib import Path
def tune(model, task, config): return Path(__file__).with_name("side.json").read_text()
def other(model, task, config): return model
tune.depends_on = ["side.json", "data"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    here = tmp_path / "here"
    (here / "data" / "deep").mkdir(parents=True)
    (here / "data" / "__pycache__").mkdir()
    for name in ("side.json", "data/one.txt", "data/deep/two.txt"):
        (here / name).write_text(name)
    (here / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield here
    for name in [n for n in sys.modules if n not in before and n.startswith("capbench_method_")]:
        del sys.modules[name]


def methods(*depends: str, of: str = "mine.py:other") -> Mapping[str, MethodRef | MethodError]:
    texts = {"method": [of, "full"], "method-depends": list(depends)}
    return Options.of(Given(PYTEST, {name: text for name, text in texts.items() if text}), command="").methods


def digest(*depends: str) -> str:
    found = methods(*depends)["mine.py:other"]
    assert isinstance(found, MethodRef)
    return found.digest


@pytest.mark.parametrize(
    "name", ["side.json", "data/one.txt", "data/deep/two.txt", "data/deep/new.txt", "data/new.txt"]
)
def test_an_edit_of_what_is_declared_makes_another_method(name: str, folder: Path) -> None:
    def state() -> list[str]:
        return [
            find("mine.py:tune").digest,
            digest("side.json", "./data"),
            digest("data", "side.json"),
            digest(),
            find("full").digest,
        ]

    before = state()
    assert before[1] == before[2] != before[3]
    Path(name).write_text("edited")
    after = state()
    assert [one != two for one, two in zip(before, after, strict=True)] == [True, True, True, False, False]
    Path("data/__pycache__/one.pyc").write_text("compiled")
    Path("unused.json").write_text("1")
    assert state() == after


def test_what_is_declared_is_told_apart_by_names_that_do_not_hang_on_the_place(folder: Path) -> None:
    for name in ("a/x.json", "b/x.json"):
        Path(name).parent.mkdir()
        Path(name).write_text(name)
    before = digest("a/x.json", "b/x.json")
    there = shutil.copytree(folder, folder.parent / "there")
    assert digest(f"{there}/a/x.json", f"{there}/b/x.json") == before
    Path("a/x.json").write_text("b/x.json")
    Path("b/x.json").write_text("a/x.json")
    assert digest("a/x.json", "b/x.json") != before


def test_a_built_in_method_reads_no_file_of_the_users() -> None:
    assert methods("side.json")["full"] == methods()["full"]


@pytest.mark.parametrize(("of", "depends"), [("mine.py:tune", ()), ("mine.py:other", ("side.json", "data"))])
def test_what_is_declared_is_in_the_key_and_not_told(of: str, depends: tuple[str, ...], folder: Path) -> None:
    ref = methods(*depends, of=of)[of]
    assert isinstance(ref, MethodRef)
    time.sleep(0.03)  # files that were written just now are not told
    with recording() as opened:
        load(ref)(None, None, None)
        for name in ("side.json", "data/deep/two.txt", "data/one.txt"):
            Path(name).read_text()
    assert files(ref) == {folder / name for name in ("mine.py", "side.json", "data")}
    assert opened.undeclared(files(ref)) == []
    assert opened.undeclared(files(find("mine.py:other"))) != []


def test_what_is_declared_goes_to_the_nodes_of_a_cluster(folder: Path) -> None:
    ref = find("mine.py:tune", depends=[folder.parent / "here" / "data" / "one.txt"])
    step = tuned(ref)
    place = on_ray.unpack(on_ray.needed_by(step).read(), folder.parent / "node")
    moved = on_ray.relocated(step, place)
    (folder / "side.json").write_text("edited here")
    assert isinstance(moved, FineTune) and moved.key == step.key
    assert load(moved.method)(None, None, None) == "side.json"
    there = moved.method
    assert find(there.spec, depends=there.depends).digest == ref.digest


def test_a_missing_file_is_one_line(folder: Path) -> None:
    with pytest.raises(UsageError, match=rf"^--capbench-method-depends=no\.json: there is no such file in {folder}$"):
        methods("no.json")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tune.depends_on = ['no.json']", r"tune\.depends_on names 'no\.json', which is not in .*/here$"),
        ("tune.depends_on = 'side.json'", r"tune\.depends_on in line 6 must be a list of file names"),
        (
            "tune.depends_on = [str(1)]",
            r"tune\.depends_on in line 6 must be a list of file names, as in \[\"side\.json\"\]: it",
        ),
        ("tune.depends_on = [1]", r"tune\.depends_on in line 6 must be a list"),
    ],
)
def test_a_wrong_declaration_is_one_line(line: str, said: str) -> None:
    with Path("mine.py").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(MethodError, match=f"^method 'mine.py:tune': {said}") as error:
        find("mine.py:tune")
    assert "\n" not in str(error.value)
    find("mine.py:other")


def test_a_declaration_that_only_running_shows_is_refused(folder: Path) -> None:
    Path("hidden.py").write_text(SOURCE.replace("tune.depends_on = ", "vars(tune)['depends_on'] = "))
    with pytest.raises(
        MethodError, match=r"depends_on is \['side\.json', 'data'\] when it runs, but its file does not show that"
    ):
        load(find("hidden.py:tune"))
