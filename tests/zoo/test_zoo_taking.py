"""Base models that come with the package: taken where the key is the same, to the bit, checked, and never written to."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import BASE, START
from tiny_zoo import DAMAGE, LONGER, OTHER, STEPS, bundled, change, content, make, same

import capbench.zoo.bundle as bundle
from capbench.errors import UsageError
from capbench.pipeline.plan import Plan
from capbench.store.store import BUNDLED, Store
from capbench.zoo.bundle import fill
from capbench.zoo.manifest import read


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_an_empty_cache_is_filled_with_the_same_bits(zoo: Path, origin: Store, empty: Store) -> None:
    filled = fill(empty, Plan(STEPS).missing(empty))
    assert filled.taken == {step.key for step in STEPS} and filled.warnings == ()
    for step in STEPS:
        one, other = origin.load(step.key), empty.load(step.key)
        assert one is not None and other is not None
        assert {**one.meta, BUNDLED: True} == other.meta  # the time that it took, too
        assert same(origin, empty, step.key)
        (files,) = [[s.root / f"artefacts/{step.key[:2]}/{step.key}/tensors.safetensors" for s in (origin, empty)]]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_folder_within_the_package_adds_to_it(zoo: Path, origin: Store, empty: Store) -> None:
    before = content(zoo)
    bundled(zoo / "more", origin, [LONGER])
    assert bundle.folders() == (zoo, zoo / "more") and {name: content(zoo)[name] for name in before} == before
    assert bundle.keys() == {step.key for step in (*STEPS, LONGER)}
    said = make(empty, BASE, LONGER)
    assert said[0] == "capbench: 2 base models taken from the package" and same(origin, empty, LONGER.key)
    assert bundled(zoo, origin).models and read(zoo / "more") is not None  # a build leaves what is within alone
    (zoo / "more" / "manifest.json").write_text("{")
    filled = fill(Store(empty.root / "new"), [BASE, LONGER])
    assert filled.taken == {BASE.key} and len(filled.warnings) == 1 and bundle.keys() == {step.key for step in STEPS}


def test_what_a_run_takes_is_said_and_the_rest_is_trained(zoo: Path, empty: Store) -> None:
    said = make(empty, BASE, LONGER)
    assert said[0] == "capbench: 1 base model taken from the package"
    assert said[1].startswith("capbench: 2 of 3 models to make (8 training steps)")  # START and LONGER
    assert make(empty, BASE, LONGER) == []
    assert make(empty, OTHER)[0] == "capbench: 1 base model taken from the package"


def test_other_keys_are_not_taken(zoo: Path, empty: Store) -> None:
    assert fill(empty, [START, LONGER, replace(BASE, start=replace(START, seed=5))]).taken == frozenset()
    assert not any(empty.root.glob("artefacts/*/*"))


def test_without_a_manifest_nothing_is_taken_and_nothing_said(tmp_path: Path, empty: Store) -> None:
    assert fill(empty, STEPS, tmp_path) == fill(empty, STEPS, tmp_path / "nowhere") == bundle.Filled()


def test_what_is_in_the_cache_already_is_kept(zoo: Path, empty: Store) -> None:
    make(empty, BASE, bundled=False)
    made = {file: file.stat().st_mtime_ns for file in empty.root.glob("artefacts/*/*/*")}
    assert make(empty, BASE) == [] and fill(empty, [BASE]).taken == {BASE.key}
    assert {file: file.stat().st_mtime_ns for file in empty.root.glob("artefacts/*/*/*")} == made


def test_a_damaged_artefact_of_the_cache_is_replaced_from_the_package(zoo: Path, origin: Store, empty: Store) -> None:
    make(empty, BASE)
    (file,) = empty.root.glob(f"artefacts/*/{BASE.key}/tensors.safetensors")
    file.write_bytes(b"")
    said = make(empty, BASE)
    assert "is damaged" in said[0] and said[1:] == ["capbench: 1 base model taken from the package"]
    assert same(origin, empty, BASE.key)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model_is_a_warning_and_trained(
    zoo: Path, origin: Store, empty: Store, damage: Callable[[Path], str]
) -> None:
    words = damage(zoo)
    said = make(empty, BASE, OTHER)
    (warning,) = (line for line in said if "warning" in line)
    assert words in warning and BASE.label in warning and warning.endswith("it is trained instead")
    assert "capbench: 1 base model taken from the package" in said  # the other
    assert same(origin, empty, BASE.key)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw.update(schema=7), "has schema 7"),
        (lambda raw: raw.pop("models"), "'models' is missing"),
        (lambda raw: raw["models"][0].update(key="../../x"), "is not a model's key"),
        (lambda raw: raw["models"].append(raw["models"][0]), "names a model twice"),
        (lambda raw: raw["models"][0].update(size="7"), "should be of type int"),
        (lambda raw: raw["models"][0].update(size=True), "True should be of type int"),
        (lambda raw: raw["models"][0].update(sha256="../../x"), "is not a SHA-256"),
    ],
)
def test_a_damaged_manifest_is_one_warning_and_all_is_trained(
    zoo: Path, empty: Store, damage: Callable[[Any], object], words: str
) -> None:
    change(zoo, damage)
    said = make(empty, *STEPS)
    assert words in said[0] and "are not used" in said[0] and "\n" not in said[0]
    assert said[1].startswith("capbench: 3 of 3 models to make")


def test_a_manifest_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="it is not JSON"):
        read(tmp_path)


def test_a_package_that_may_only_be_read_is_enough(zoo: Path, empty: Store) -> None:
    before = content(zoo)
    places = [zoo, *zoo.rglob("*")]
    try:
        for place in places:
            place.chmod(place.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
        assert len(fill(empty, STEPS).taken) == 2
    finally:
        for place in places:
            place.chmod(place.stat().st_mode | stat.S_IWUSR)
    assert content(zoo) == before


@pytest.mark.slow
def test_two_processes_that_fill_at_once_agree(zoo: Path, origin: Store, empty: Store) -> None:
    program = (
        "import sys, safetensors.torch; from pathlib import Path; from tiny_study import *\n"
        "from capbench.zoo.bundle import fill\n"
        "steps = [BASE, replace(BASE, train=replace(TRAIN, seed=1))]; print('ready', flush=True); sys.stdin.readline()\n"
        "print(len(fill(Store(sys.argv[1]), steps, Path(sys.argv[2])).taken))"
    )
    command = [sys.executable, "-c", program, str(empty.root), str(zoo)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=Path(__file__).parents[1] / "helpers", **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in both] == ["2\n", "2\n"]
    assert all(same(origin, empty, step.key) for step in STEPS) and not list(empty.root.glob("tmp/*"))
