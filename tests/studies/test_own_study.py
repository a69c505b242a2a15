"""A study outside the package, with its own task, architecture, tool and claim: it runs, and its code is part of its keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fresh import printed
from tiny_suite import folders, lines_with, planned, record, results, run, trained

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recall(pytester: pytest.Pytester) -> Path:
    """The example, in a folder of its own."""
    shutil.copytree(
        ROOT / "examples" / "recall", pytester.path / "recall", ignore=shutil.ignore_patterns("__pycache__")
    )
    return pytester.path / "recall"


def edit(file: Path, old: str, new: str) -> None:
    source = file.read_text()
    assert old in source
    file.write_text(source.replace(old, new))


@pytest.mark.slow
def test_it_runs_and_its_verdict_says_that_its_tool_is_uncalibrated(recall: Path, pytester: pytest.Pytester) -> None:
    options = ("recall", "--capbench-scale=smoke", "--capbench-seeds=1")
    first = run(pytester, *options, "--capbench-report=reports")
    first.assert_outcomes(xfailed=1)  # of one seed, without a prior at this scale, nothing is decided
    assert lines_with(first, "3 of 3 models to make") and trained(pytester) >= 3
    found = results(pytester)
    assert record(found, "recall.deletion").study == "recall"
    (verdict,) = found.capabilities
    assert verdict.id == "recall first to last[lr=medium]" and verdict.model == "gru-24"
    assert [e.tool for e in verdict.evidence] == ["behaviour", "reading"]
    assert verdict.uncalibrated == ("reading",) and verdict.reason.endswith("; uncalibrated at scale smoke: reading")
    assert lines_with(first, f"  {verdict.verdict}  ", "recall first to last") and lines_with(first, "uncalibrated)")
    (folder,) = folders(pytester)
    for file in ("report.html", "summary.md"):
        assert "uncalibrated" in (folder / file).read_text()

    assert planned(pytester, "recall", "--scale=smoke") == "3 models, 3 in the cache, 0 to make (0 training steps)"
    edit(recall / "network.py", "resid[-1] + layer(resid[-1])[0]", "resid[-1] + 2 * layer(resid[-1])[0]")
    assert planned(pytester, "recall", "--scale=smoke") == "3 models, 0 in the cache, 3 to make (450 training steps)"


KEYS = """
import json
from capbench.methods.specs.registry import find
import study
made = study.recall(scale="smoke", method=find("full"), device="cpu", precision="float32").finetuned(0, lr="medium")
print(json.dumps([step.key for step in (made.base.start, made.base, made)]))
"""


def keys(folder: Path) -> list[str]:
    """Those of a fresh process, which has imported neither the network nor what it imports."""
    edit(folder / "study.py", "from network import RecurrentConfig\n", "from sizes import RecurrentConfig\n")
    found: list[str] = json.loads(printed(KEYS, folder))
    edit(folder / "study.py", "from sizes import RecurrentConfig\n", "from network import RecurrentConfig\n")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("network.py", "x + y", "x + 2 * y", [True, True, True]),
        ("layers.py", "x + y", "x + 2 * y", [True, True, True]),  # which nothing has imported when keys are made
        ("task.py", "randint(LETTERS", "randint(LETTERS - 1", [False, True, True]),
        ("study.py", "present=0.9", "present=0.8", [False, False, False]),  # a threshold shapes no model
        ("network.py", '"""GRU layers', '"""Gated layers', [False, False, False]),
    ],
)
def test_its_code_is_part_of_its_keys(recall: Path, file: str, old: str, new: str, changed: list[bool]) -> None:
    # The network takes its sum from one file, and the study the network's sizes from another.
    source = (recall / "network.py").read_text()
    start, end = source.index("@dataclass"), source.index("class Recurrent(Model)")
    sizes = "from dataclasses import dataclass\nfrom capbench import ModelConfig\n\n" + source[start:end]
    (recall / "sizes.py").write_text(sizes)
    (recall / "layers.py").write_text("def added(x, y):\n    return x + y\n")
    plain = "def other(x, y):\n    return x + y\n\n\n"
    (recall / "network.py").write_text(
        (
            source[:start]
            + "from layers import added\n\nfrom sizes import RecurrentConfig\n\n\n"
            + plain
            + source[end:]
        ).replace("resid[-1] + layer(resid[-1])[0]", "added(resid[-1], layer(resid[-1])[0])")
    )
    before = keys(recall)
    edit(recall / file, old, new)
    assert [a != b for a, b in zip(before, keys(recall), strict=True)] == changed
