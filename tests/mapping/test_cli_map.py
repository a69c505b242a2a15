"""`capbench map`, through `main`, with models that are hardly trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Ended, in_folder, run, tiny_pcfg

from capbench.pipeline.executors import base
from capbench.store.store import Store
from capbench.studies.pcfg import preset as pcfg

RATES = {"large": 1e40, "medium": 1e-3, "small": 1e-4}  # the first one diverges


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_folder(tmp_path, monkeypatch)
    preset = replace(tiny_pcfg(), anchor_seeds=(), finetune_steps=2, pretrain_steps=2, watch_every=1, rates=RATES)
    monkeypatch.setitem(pcfg.PRESETS, "tiny", lambda: preset)  # type: ignore[attr-defined]


def mapped(capsys: pytest.CaptureFixture[str], *more: str) -> Ended:
    return run(capsys, "map", "--scale", "tiny", "--jobs", "1", "--cache", "cache", *more)


@pytest.mark.slow
def test_a_map_and_again_from_the_cache(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (
        "-x",
        "rate=1,1e40",
        "-y",
        "lr=medium,large",
        "--seeds",
        "1",
        "--report",
        ".",
    )  # the large rate diverges as well
    first = mapped(capsys, *asked)
    assert first.code == 0 and "rate by lr at scale tiny, method full; prior=low, c_tr=1" in first.out
    raw = json.loads(tmp_path.joinpath("map.json").read_text())
    found = {tuple(place["place"]): place["why"] for place in raw["places"]}
    assert len(found) == 4
    # The base model, trained for two steps, knows nothing: no state is made up. At such rates nothing can be read at all.
    assert "accuracy of the base model on O_PT" in found.pop((1, "medium"))
    assert all(why.startswith("diverged: ") for why in found.values())
    assert raw["fixed"] == {"prior": "low", "c_tr": 1} and tmp_path.joinpath("map.svg").exists()
    assert "diverged" in first.out and "capbench map -x rate=1,1e40" in raw["run"]["command"]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(Store, "save", refuse)
    monkeypatch.setattr(base, "build_step", refuse)
    again = mapped(capsys, *asked)
    assert (again.code, again.out) == (0, first.out)


def test_what_there_is_no_time_for(capsys: pytest.CaptureFixture[str]) -> None:
    ended = mapped(capsys, "-x", "rate=1,2", "-y", "times=1,2", "--budget-minutes", "1e-9")
    assert ended.code == 0 and ended.out.count("not yet") == 4
    assert "0 of 4 places are made; run the same command again for the others" in ended.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-x", "rate=1", "-y", "times=1,2"), "-x rate=1: must be a condition and two values or more"),
        (("-x", "rate=1,2", "-y", "rate=1,2"), "-x and -y are both rate"),
        (("-x", "rate=1,2", "-y", "tiems=1,2"), "these are no conditions of a model"),
        (("-x", "rate=1,2", "-y", "answers=random,right"), "answers=right: must be constant or random"),
        (("-x", "rate=1,2", "-y", "times=1,2", "--fixed", "rate=3,prior=low,c_tr=1,lr=medium"), "rate is a condition"),
        (("-x", "rate=1,2", "-y", "times=1,2", "--fixed", "prior"), "'prior' must be a condition and its value"),
        (("-x", "rate=1,2", "-y", "times=1,2", "--fixed", "c_tr=1,c_tr=0"), "names c_tr twice"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], given: tuple[str, ...], said: str) -> None:
    ended = mapped(capsys, *given)
    assert ended.code == 2 and said in ended.err and ended.err.count("\n") == 1 and ended.out == ""
