"""`capbench fidelity --table pcfg-counting`, through `main`: figures, what is not recorded, and the time that it may take."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_runs import Ended, in_folder, report, run, tiny_pcfg

from capbench.pipeline import clock
from capbench.pipeline.executors import base
from capbench.store.store import Store


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_folder(tmp_path, monkeypatch)


def counting(capsys: pytest.CaptureFixture[str], cache: Path, *more: str) -> Ended:
    argv = ("fidelity", "--table", "pcfg-counting", "--scale", "tiny", "--jobs", "1", "--cache", str(cache), *more)
    return run(capsys, *argv)


@pytest.mark.slow
def test_counting_from_nothing_and_again_from_the_cache(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ("--cells", "high:1e-5", "--cells", "low:small:0.8")
    first = counting(capsys, tmp_path / "cache", *cells, "--report", "one")
    assert first.code == 0 and "capbench: 16 of 16 models to make (248 training steps), 1 at a time" in first.err
    assert first.out.count("1e-5 medium") == 2 * 4 + 1 and "prior low" in first.out and "rows are made" not in first.out
    raw = report(tmp_path / "one", "pcfg-counting")
    assert [(c["prior"], c["lr"], c["rate"], c["c_tr"]) for c in raw["cells"]] == [
        *(("high", "1e-5", "medium", c_tr) for c_tr in (0, 0.5, 0.8, 1)),
        ("low", "1e-6", "small", 0.8),
    ]
    assert raw["steps"] == {"pretraining": {"here": 12, "paper": 200_000}, "fine-tuning": {"here": 20, "paper": 10_000}}
    for cell in raw["cells"]:
        assert len(cell["figures"]) == 10 and cell["diverged"] == cell["failed"] == cell["unmade"] == ""
        for figure in cell["figures"].values():
            assert len(figure["per_seed"]) == 2 and all(0 <= value <= 100 for value in figure["per_seed"])

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(Store, "save", refuse)
    monkeypatch.setattr(base, "build_step", refuse)
    again = counting(capsys, tmp_path / "cache", *cells, "--report", "two")
    assert (again.code, again.out) == (0, first.out) and "to make" not in again.err
    assert report(tmp_path / "two", "pcfg-counting")["cells"] == raw["cells"]


def test_the_figures_of_counting_are_the_readings_and_the_curves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from capbench.methods.specs.registry import find
    from capbench.studies.lab import Bench, Lab
    from capbench.studies.pcfg.readings import behaviour
    from capbench.studies.pcfg.study import PcfgCounter

    more = ("--cells", "low:large:1", "--seeds", "1", "--pretrain-steps", "25", "--report", ".")
    ended = counting(capsys, tmp_path / "cache", *more)
    assert ended.code == 0 and "pretraining: 25 steps; the paper's figures are after 200000" in ended.out
    preset = replace(tiny_pcfg(), pretrain_steps=25)
    study, lab = PcfgCounter(preset=preset, method=find("full")), Lab(Store(tmp_path / "cache"))
    steps = {"base": study.base(0, prior="low"), "tuned": study.finetuned(0, prior="low", c_tr=1, lr="large")}
    assert lab.built(steps["base"]).meta["steps"] == 25
    read = {m.name: m.value for m in lab.read(behaviour, Bench(study=study, seed=0), steps)}
    expected: dict[str, Any] = {}
    for column, operand in (("pt", "O_PT"), ("ft", "O_FT")):
        expected[f"{column}_pretrained"] = read[f"base.{operand}.c_te0"]
        for c_te in (0, 1):
            expected[f"{column}_c{c_te}_1k"] = dict(lab.built(steps["tuned"]).curve(f"{operand}, C_Te {c_te}"))[2]
            expected[f"{column}_c{c_te}_10k"] = read[f"tuned.{operand}.c_te{c_te}"]
    raw = report(tmp_path, "pcfg-counting")
    ours = {name: f["mean"] / 100 for name, f in raw["cells"][0]["figures"].items()}
    assert ours == pytest.approx(expected) and len(set(ours.values())) > 3
    least = min(read["base.O_PT.c_te0"] or 0, read["base.O_PT.c_te1"] or 0)
    assert raw["base"] == {"low": pytest.approx(100 * least)}
    assert raw["steps"]["pretraining"] == {"here": 25, "paper": 200_000}
    assert "--pretrain-steps 25" in raw["run"]["command"]


def test_what_a_methods_own_loop_did_not_record_is_not_judged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    more = ("--cells", "high:small:0.5", "--seeds", "1", "--method", "mine.py:own_loop", "--report", ".")
    ended = counting(capsys, tmp_path / "cache", *more)
    assert ended.code == 0 and ended.out.count("– ·") == 4 and "– not recorded by the method" in ended.out
    figures = report(tmp_path, "pcfg-counting")["cells"][0]["figures"]
    assert {name for name, f in figures.items() if f["mean"] is None} == {n for n in figures if n.endswith("_1k")}
    assert {f["agrees"] for name, f in figures.items() if name.endswith("_1k")} == {None}
    assert {f["agrees"] for name, f in figures.items() if not name.endswith("_1k")} <= {True, False}


def test_a_budget_ends_the_run_and_the_next_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is up in the middle of the third fine-tuning: two rows are made, and none of it is made again."""
    cells = ("--cells", "high:medium", "--seeds", "1", "--report", ".")
    real, made = base.build_step, list[str]()

    def build(step: Any, store: Store, progress: Any) -> None:
        if len(made) == 4:  # Initialise, base and two fine-tuned ones
            monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: math.inf))
        real(step, store, progress)
        made.append(step.key)

    monkeypatch.setattr(base, "build_step", build)
    ended = counting(capsys, tmp_path / "cache", *cells, "--budget-minutes", "5")
    assert ended.code == 0 and "4 models made in" in ended.err and "no time for 2 more" in ended.err
    left = "2 of 4 rows are made; run the same command again for the others"
    assert ended.out.splitlines()[-1] == left and ended.out.count("not yet ·") == 20
    raw = report(tmp_path, "pcfg-counting")
    assert left in (tmp_path / "fidelity-pcfg-counting.md").read_text() and "--budget" not in raw["run"]["command"]
    assert [cell["unmade"] for cell in raw["cells"]] == ["", "", *["seed 0: not made yet"] * 2]
    assert {cell["failed"] for cell in raw["cells"]} == {""} and raw["scores"][0]["decisive"] == 18 and len(made) == 4
    monkeypatch.undo()
    in_folder(tmp_path, monkeypatch)
    last = counting(capsys, tmp_path / "cache", *cells, "--budget-minutes", "5")
    assert last.code == 0 and "2 of 6 models to make" in last.err and "rows are made" not in last.out
    whole = report(tmp_path, "pcfg-counting")
    assert whole["cells"][:2] == raw["cells"][:2] and not any(cell["unmade"] for cell in whole["cells"])


def test_without_time_nothing_is_made_and_without_success_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ("--cells", "low:small:1,low:small:0", "--seeds", "1")
    ended = counting(capsys, tmp_path / "cache", *cells, "--budget-minutes", "1e-9")
    assert ended.code == 0 and "0 models made" in ended.err and "prior low: nothing to judge" in ended.out
    assert ended.out.splitlines()[-1].startswith("0 of 2 rows are made")
    assert list((tmp_path / "cache" / "artefacts").rglob("meta.json")) == []
    failed = counting(capsys, tmp_path / "cache", *cells, "--budget-minutes", "5", "--method", "mine.py:breaks")
    assert failed.code == 1 and len(re.findall("failed [✘·]", failed.out)) == 20
