"""A task of one's own in place of the Counter's: how it is named, what runs on it, what the record says of it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_suite import folders, is_usage_error, record, results, run, write_suite

from capbench.errors import UsageError
from capbench.methods.specs.registry import find
from capbench.pipeline.steps import describe
from capbench.studies.pcfg.factory import own
from capbench.studies.pcfg.own import PcfgOwn, TaskSpec
from capbench.studies.pcfg.own_file import find_task
from capbench.studies.pcfg.preset import small
from capbench.studies.pcfg.variant import SIMPLEST
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.setting import PcfgSetting

FILE = """
from dataclasses import replace
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.variant import SIMPLEST
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.setting import PcfgSetting

LETTERS = tuple((letter,) for letter in "wxyz")
GRAMMAR = Grammar(
    start="S", rules={"S": ((("L",) * 8, 1.0),), "L": tuple((letter, 0.25) for letter in LETTERS)}, terminals=tuple("wxyz")
)
SPEC = TaskSpec(
    setting=PcfgSetting(text_len=8, numbers={"I": 2}, grammar=GRAMMAR), family="I", o_pt="x", o_ft="z", q=-2,
    d_model=8, n_heads=1, n_blocks=1, pretrain_steps=2,
)
SETTING = PcfgSetting(text_len=10, numbers={"C": 6})
VARIANT = replace(SIMPLEST, task=SPEC, c_tr=0.5)
NUMBER = 5
def function(): return SPEC
def setting(): return SETTING
def needs_more(x): return SPEC
def breaks(): raise ValueError("first line\\nsecond line")
def stray(): return replace(SPEC, o_ft="b")
def no_operand(): return TaskSpec(setting=PcfgSetting(text_len=8, numbers={"T": 2}), family="T")
def ends(): raise SystemExit("usage: task.py")
"""
TESTS = """
FEW = dict(batch_size=8, finetune_steps=2, watch_every=1, n_evaluate=8, n_select=8, n_watch=8)

def on_task(study, seed, case):
    study = dataclasses.replace(study, preset=dataclasses.replace(study.preset, **FEW))
    return {"tuned": study.finetuned(seed, **case.parameters)}

def asked(bench, tuned):
    yield number(bench, "q", float(bench.study.q))
    yield number(bench, "steps", float(tuned.meta["steps"]))

@about_method("own.tuned", needs=on_task)
@pytest.mark.parametrize("case", [Case(prior="high", c_tr=1, lr="medium")], ids=str)
def test_tuned(judge):
    judge.measure((asked, ["tuned"]))
    judge.decide(at_most(judge["q"], -2.0, "q"))

@about_method("own.indexer", needs=on_task, study="pcfg-indexer")
def test_indexer(judge): ...

def test_plain(): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.joinpath("task.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_task_is_found_whatever_form_it_has(folder: Path) -> None:
    spec = find_task("--x", "task.py:SPEC")
    assert (spec.family, spec.o_pt, spec.o_ft, spec.q) == ("I", "x", "z", -2)
    for name in ("function", "VARIANT"):
        assert find_task("--x", f"{folder}/task.py:{name}") == spec
    for name in ("SETTING", "setting"):
        assert find_task("--x", f"task.py:{name}") == TaskSpec(setting=PcfgSetting(text_len=10, numbers={"C": 6}))


def test_a_task_is_found_in_a_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.joinpath("task.py").rename(folder / "own_task_module.py")
    monkeypatch.syspath_prepend(str(folder))
    assert find_task("--x", "own_task_module:SPEC").o_ft == "z"


WRONG = [
    ("task.py", ["path/file.py:attr"]),
    ("task.py:", ["path/file.py:attr"]),
    (":SPEC", ["path/file.py:attr"]),
    ("absent.py:SPEC", ["there is no file 'absent.py'"]),
    ("no_such_module_here:SPEC", ["no_such_module_here"]),
    ("task.py:MISSING", ["there is no 'MISSING'"]),
    ("task.py:NUMBER", ["is a int", "TaskSpec"]),
    ("task.py:needs_more", ["TypeError"]),
    ("task.py:breaks", ["ValueError: first line second line", "task.py"]),
    ("task.py:ends", ["SystemExit", "usage: task.py"]),
    ("task.py:stray", ["'b'", "'w', 'x', 'y', 'z'"]),
    ("task.py:no_operand", ["family T has no operand"]),
    ("broken.py:SPEC", ["SyntaxError"]),
]


@pytest.mark.parametrize(("given", "parts"), WRONG, ids=[given for given, _ in WRONG])
def test_what_is_no_task_is_told_in_one_line(given: str, parts: list[str], folder: Path) -> None:
    folder.joinpath("broken.py").write_text("SPEC = = 5")
    with pytest.raises(UsageError) as told:
        find_task("--capbench-task", given)
    said = str(told.value)
    assert said.startswith(f"--capbench-task={given}: ") and "\n" not in said
    assert [part for part in parts if part not in said] == []


LETTERS = PcfgSetting(
    text_len=8,
    numbers={"C": 5, "IC": 1},
    grammar=Grammar(
        start="S",
        rules={"S": ((("L",) * 8, 1.0),), "L": ((("u",), 0.5), (("v",), 0.5))},
        terminals=("u", "v"),
    ),
)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"o_pt": "u", "o_ft": "u"}, "'u' twice"),
        ({"o_pt": "a"}, "'a'"),
        ({"family": "X"}, "'X'"),
        ({"q": 7}, "at most 5"),
        ({"relation": "causes"}, "'causes'"),
        ({"relation": "parity", "q": 3}, "parity"),
        ({"family": "IC", "q": 1}, "operands this close"),
        ({"family": "IC", "relation": "presence"}, "'presence'"),
    ],
)
def test_a_task_that_cannot_be_is_refused_in_one_line(changes: Any, part: str) -> None:
    with pytest.raises(UsageError) as told:
        TaskSpec(**{"setting": LETTERS, "o_pt": "u", "o_ft": "v", **changes})
    assert part in str(told.value) and "\n" not in str(told.value)


def test_priors_by_the_papers_names_are_about_the_tasks_own_operands() -> None:
    def study(o_pt: str, o_ft: str, setting: PcfgSetting) -> PcfgOwn:
        return own(
            TaskSpec(setting=setting, o_pt=o_pt, o_ft=o_ft),
            scale="small",
            method=find("full"),
            device="cpu",
            precision="float32",
        )

    swapped = study("c", "a", SIMPLEST.task.setting)  # the paper's high: O_PT .5, O_FT .3, the third .2
    assert swapped.prior("high") == pytest.approx({"c": 0.5, "a": 0.3, "b": 0.2})
    assert swapped.prior("never") == {"a": 1.0}
    assert swapped.prior("others") == {"a": 0.5, "b": 0.5}
    assert swapped.prior(0.25) == {"c": 0.75, "a": 0.25}
    two = study("v", "u", LETTERS)
    assert two.prior("high") == pytest.approx({"v": 0.7, "u": 0.3})


def test_sizes_are_the_tasks_own_where_it_has_some_and_else_the_scales() -> None:
    spec = TaskSpec(setting=LETTERS, o_pt="u", o_ft="v", n_blocks=1)
    preset = spec.preset(small())
    # No never-taught models of other seeds come with a task of one's own.
    assert preset == replace(small(), setting=LETTERS, n_blocks=1, anchor_seeds=())


def test_only_claims_on_the_counter_run_on_it_and_the_record_says_so(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("task.py").write_text(FILE)
    result = run(pytester, "--capbench-task=task.py:SPEC", "--capbench-report=reports", "--capbench-seeds=1")
    result.assert_outcomes(passed=2, deselected=1)
    found = record(results(pytester), "own.tuned")
    assert found.task.startswith("pcfg own task ") and found.task.endswith(" I x to z")
    assert found.verdict.effect == -2
    task = results(pytester).run.task
    spec = find_task("--x", f"{pytester.path}/task.py:SPEC")
    assert task == {"id": spec.id, "specification": json.loads(json.dumps(describe(spec)))} and spec.id in found.task
    (folder,) = folders(pytester)
    page = html.unescape(folder.joinpath("report.html").read_text())
    (shown,) = re.findall(
        rf"<summary>own task {spec.id}: specification</summary><pre[^>]*>(.*?)</pre>", page, flags=re.S
    )
    assert json.loads(shown) == task["specification"]
    (written,) = re.findall(r"```json\n(.*?)\n```", folder.joinpath("summary.md").read_text(), flags=re.S)
    assert json.loads(written) == task["specification"]
    paper = run(pytester, "-k", "own.indexer or own.tuned", "--collect-only", "-q")
    paper.assert_outcomes(deselected=1)


@pytest.mark.parametrize(
    ("given", "parts"),
    [("task.py:stray", ["'b'"]), ("absent.py:SPEC", ["absent.py"]), ("task.py:NUMBER", ["TaskSpec"])],
)
def test_a_wrong_task_ends_the_run_in_one_line(given: str, parts: list[str], pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("task.py").write_text(FILE)
    assert is_usage_error(run(pytester, f"--capbench-task={given}"), f"--capbench-task={given}", *parts)
