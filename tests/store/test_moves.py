"""Keys survive a move: modules renamed in a copy of the package give the same keys, a line that matters gives others."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import capbench

# The keys of all kinds of steps and readings; names of modules in it are renamed as in the package.
KEYS = """
import inspect, json, pathlib
from capbench.methods.specs import registry
from capbench.pipeline.plan import Plan
from capbench.store.code import name_digest, reading_code
from capbench.studies.calibration import readings as of_known
from capbench.studies.pcfg import readings as of_trained
from capbench.studies.registry import make
from capbench.studies.tracr import readings as of_compiled

def study(name, method="full"):
    return make(name, scale="smoke", method=registry.find(method))

steps = [s for member in study("calibration").members(0) for s in member.steps.values()]
for name in ("full", "lora", "npo", "wrapper-surgery"):
    steps += [
        study(f"pcfg-{experiment}", name).finetuned(0, prior="high", c_tr=0.5, lr="small")
        for experiment in ("counter", "indexer", "jailbreak")
    ]
steps.append(study("tracr-max").finetuned(0, c_tr=0, lr="small"))
found = {f"{type(s).__name__} {i}": s.key for i, s in enumerate(Plan(steps).steps.values())}
for readings in (of_known, of_trained, of_compiled):
    for name, reading in inspect.getmembers(readings, inspect.isfunction):
        if f"{reading.__module__}.".startswith(f"{readings.__name__}.") and not name.startswith("_"):
            named = name_digest(f"{reading.__module__}:{name}")
            found[f"reading {named.partition('@')[0]} {len(found)}"] = [
                named, reading_code(frozenset({pathlib.Path(inspect.getsourcefile(reading))}))
            ]
print(json.dumps(found))
"""
MOVES = {
    "capbench.tasks.pcfg.grammar": "capbench.tasks.pcfg.productions",
    "capbench.tasks.tracr.programs": "capbench.tasks.compiled.rasp_programs",
    "capbench.models.gpt": "capbench.models.transformers.decoder",
    "capbench.models.edits.hiding": "capbench.models.edits.wrappers",
    "capbench.measure": "capbench.measurements",
    "capbench.training.loop": "capbench.training.trainer",
    "capbench.pipeline.build": "capbench.pipeline.carry_out",
    "capbench.studies.seeds": "capbench.studies.tracr.subseeds",
    "capbench.methods.deletion": "capbench.methods.unlearning",
    "capbench.results": "capbench.findings",
    "capbench.configs": "capbench.sizes",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the package, without the bundled models."""
    source = Path(capbench.__file__).parent
    shutil.copytree(source, tmp_path / "capbench", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    return tmp_path


@pytest.fixture(scope="module")
def before() -> dict[str, object]:
    """The keys as the package gives them."""
    return keys(Path(capbench.__file__).parents[1])


def keys(place: Path, script: str = KEYS) -> dict[str, object]:
    """The keys as the package in this folder gives them."""
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    program = f"import sys, capbench; assert capbench.__file__.startswith({str(place)!r}), capbench.__file__\n{script}"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=place, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def renamed(source: str) -> str:
    """A source with the modules of MOVES under their new names."""
    for old, new in MOVES.items():
        (before, name), (after, called) = old.rsplit(".", 1), new.rsplit(".", 1)
        # `from package import module`, alone or among others, keeps its name for the module.
        source = re.sub(
            rf"^( *)from {re.escape(before)} import ((?:\w+, )*){name}\b(?! as)((?:, \w+)*)$",
            lambda m, a=after, b=before, c=called, n=name: "\n".join(
                [f"{m[1]}from {a} import {c} as {n}"]
                + [f"{m[1]}from {b} import {other}" for other in re.findall(r"\w+", m[2] + m[3])]
            ),
            source,
            flags=re.M,
        )
        source = re.sub(rf"\b{re.escape(old)}\b", new, source)
    return source


def move(place: Path) -> None:
    """Move and rename the modules of MOVES, and whatever names them."""
    for file in (place / "capbench").rglob("*.py"):
        file.write_text(renamed(file.read_text()))
    for old, new in MOVES.items():
        source, target = (place.joinpath(*module.split(".")) for module in (old, new))
        if not source.is_dir():
            source, target = source.with_suffix(".py"), target.with_suffix(".py")
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
            (target.parent / "__init__.py").write_text('"""A room that was not there before."""\n')
        source.rename(target)


@pytest.mark.slow
def test_a_move_changes_no_key(place: Path, before: dict[str, object]) -> None:
    assert len(before) > 40 and len(set(map(str, before.values()))) == len(before)
    move(place)
    for old in MOVES:
        assert not place.joinpath(*old.split(".")).with_suffix(".py").exists()
    assert keys(place, renamed(KEYS)) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "file, line, edited, changed",
    [
        ("tasks/pcfg/grammar.py", None, "EXTRA = 1\n", {"Pretrain", "FineTune", "Revive"}),
        ("models/edits/preserving/composing.py", None, "EXTRA = 1\n", {"Edit"}),
        ("methods/deletion/npo.py", None, "EXTRA = 1\n", {"FineTune"}),
        # Which of two functions of one name is imported matters, though both files are known either way.
        (
            "studies/calibration/readings.py",
            "from capbench.studies.readings import number",
            "from capbench.studies.readings import accuracy_number as number",
            {"reading"},
        ),
    ],
)
def test_a_line_that_matters_changes_the_keys_that_hang_on_it(
    place: Path, before: dict[str, object], file: str, line: str | None, edited: str, changed: set[str]
) -> None:
    path = place / "capbench" / file
    source = path.read_text()
    assert line is None or line in source
    path.write_text(source + edited if line is None else source.replace(line, edited))
    after = keys(place)
    assert changed <= {name.split()[0] for name in before if before[name] != after[name]}


@pytest.mark.slow
def test_docstrings_and_comments_change_no_key(place: Path, before: dict[str, object]) -> None:
    for file in (place / "capbench").rglob("*.py"):
        source = re.sub(r'^"""(?!\s*$)', '"""Otherwise worded. ', file.read_text(), count=1)
        file.write_text(source + "\n# A comment.\n")
    assert keys(place) == before
