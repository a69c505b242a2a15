"""docs/variants.md: its files say what they are said to say, its commands have options that there are."""

from __future__ import annotations

import os
import runpy
import shlex
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from guide_blocks import blocks
from hypothesis import Phase, find

from capbench.studies.pcfg.own_file import find_task
from capbench.variants.strategies import __all__ as strategies

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)
SLOW = pytest.mark.skipif(not os.environ.get("CAPBENCH_THOROUGH"), reason="hundreds of tasks are drawn")
FILES = {block.file: block.body for block in BLOCKS if block.language == "python"}


@pytest.mark.parametrize("shrunk", [False, pytest.param(True, marks=SLOW)])
def test_the_planted_fault_is_shrunk_to_what_the_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shrunk: bool
) -> None:
    """That is the simplest task of all, which shows the fault; that the fault of any other shrinks to it takes many seconds."""

    def simplest(tasks: Any, condition: Any, settings: Any) -> Any:
        first = hypothesis.settings(
            settings, max_examples=1, phases=[Phase.generate]
        )  # Hypothesis starts with the simplest
        found = find(tasks, lambda task: True, settings=first)
        assert condition(found)
        return found

    if not shrunk:
        monkeypatch.setattr(hypothesis, "find", simplest)
    (tmp_path / "faulty.py").write_text(FILES["faulty.py"])
    (shown,) = [block.body for block in BLOCKS if block.language == "text"]
    runpy.run_path(str(tmp_path / "faulty.py"), run_name="__main__")  # in this process, which has imported torch
    assert capsys.readouterr().out.strip() == shown


def test_the_task_of_the_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "mytask.py").write_text(FILES["mytask.py"])
    found = find_task("--capbench-task", f"{tmp_path / 'mytask.py'}:task")
    assert (found.o_pt, found.o_ft, found.setting.operands) == ("x", "y", ("x", "y", "z"))


def test_the_claim_of_the_page_is_collected_where_variants_are_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_mine=FILES["test_mine.py"])
    result = pytester.runpytest("--collect-only", "-q", "--capbench-variants=1", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["test_mine.py::test_the_capability_is_kept"])


def test_every_option_of_the_page_is_one_and_every_strategy(pytestconfig: pytest.Config) -> None:
    asked = {word.partition("=")[0] for b in BLOCKS for c in b.commands for word in shlex.split(c) if word[0] == "-"}
    assert asked and all(hasattr(pytestconfig.option, option[2:].replace("-", "_")) for option in asked)
    named = {name.removesuffix("()") for name in TEXT.split("`") if name.endswith("()") and name[0].islower()}
    assert named <= set(strategies) and set(strategies) - named == {"GptSize"}
