"""The verdicts of a run: which tools judge a record, also one of an earlier run that did not say its study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from implants import written
from report_example import record

from capbench.results import Measurement, Record
from capbench.session.studies import Studies
from capbench.studies.calibration.kept import kept
from capbench.studies.judge import Case, Claim
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.registry import BUILT_IN, make
from capbench.tasks.pcfg.setting import PcfgSetting

SPEC = TaskSpec(setting=PcfgSetting(text_len=8, numbers={"C": 5}))


def studies(
    scale: str = "small",
    task: TaskSpec | None = None,
    attacks: str = "default",
    model: str | None = None,
    capabilities: tuple[str, ...] = (),
) -> Studies:
    options: Any = SimpleNamespace(
        scale=scale,
        seeds=1,
        auto=False,
        methods={},
        task=task,
        studies=BUILT_IN,
        device="cpu",
        precision="float32",
        attacks=attacks,
        model=model,
        data=None,
        capabilities=capabilities,
    )
    return Studies(options)


def gone(task: str, study: str = "", **tools: float) -> Record:
    """A record of a model whose behaviour is gone."""
    values = {"tuned.O_PT.c_te0": 0.0, "tuned.O_PT.c_te1": 0.0, **tools}
    found = tuple(Measurement(name=n, value=v, unit="", n=1, seed=0) for n, v in values.items())
    protocol = {"c_tr": 1, "lr": "small"}
    return replace(record(), task=task, study=study, measurements=found, protocol=protocol, seeds=(0,))


TRACR = {"circuit.retention": 1.0, "pruning.weights.gain": 0.5}
PCFG = {"patching.kept": 1.0, "revival.speed_up": 4.0}


@pytest.mark.parametrize(
    ("name", "tools", "read"),
    [
        ("pcfg-counter", PCFG, ["behaviour", "revival", "patching"]),
        ("pcfg-indexer", PCFG, ["behaviour", "revival", "patching"]),
        ("tracr-counter", TRACR, ["behaviour", "circuit", "weight pruning"]),
        ("tracr-max", TRACR, ["behaviour", "circuit", "weight pruning"]),
    ],
)
def test_a_record_is_judged_by_the_tools_of_its_study(name: str, tools: dict[str, float], read: list[str]) -> None:
    task = make(name, scale="small").task_name
    new, old = gone(task, name, **tools), gone(task, **tools)  # an old one is known by its task
    for each in (new, old):
        (found,) = studies().capabilities([each])
        assert [e.tool for e in found.evidence] == read and found.verdict == "wrapped"
        untested = [tool for tool in read if tool in ("revival", "circuit") and not kept().tested]  # those that vote
        assert found.uncalibrated == tuple(untested)  # until the pool's other half was opened
        assert found.study == each.study


def test_a_record_of_a_study_that_is_not_installed_gives_no_verdict() -> None:
    assert studies().capabilities([gone("parity", "parity"), gone("parity")]) == ()


def test_the_tools_were_never_calibrated_for_a_task_of_ones_own() -> None:
    own = studies(task=SPEC)
    task = own.own(SPEC, "").task_name
    (found,) = own.capabilities([gone(task, "pcfg-counter", **PCFG)])
    assert found.verdict == "wrapped" and found.uncalibrated == ("revival",)
    (old,) = own.capabilities([gone(task, **PCFG)])
    assert old.uncalibrated == ("revival",)


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_no_other_scale_s_calibration_counts(scale: str) -> None:
    (found,) = studies(scale).capabilities([gone("tracr count a to b", "tracr-counter", **TRACR)])
    assert found.verdict == "wrapped" and found.uncalibrated == ("circuit",)


def test_studies_that_fine_tune_know_which_attacks_are_asked_for() -> None:
    for name in ("pcfg-counter", "tracr-max", "calibration"):
        claim: Any = SimpleNamespace(study=name)
        known = [getattr(studies(attacks=asked).of(claim, ""), "attacks", None) for asked in ("default", "all")]
        assert known == ([None, None] if name == "calibration" else ["default", "all"])
    own: Any = studies(task=SPEC, attacks="all").of(SimpleNamespace(study="pcfg-counter"), "")  # type: ignore[arg-type]
    assert own.attacks == "all" and own.spec == SPEC


def test_a_study_of_a_language_model_has_the_one_that_was_given(tmp_path: Path) -> None:
    claim = Claim(
        id="any", source="own", study="language-implant", needs=lambda study, seed, case: {"base": study.base}
    )
    none = studies().needed(claim, Case(), "")
    assert "no language model was given; --capbench-model=hf:PATH" in none.blocked and not none.always
    model, skill = written(tmp_path)
    run = studies(model=model.removeprefix("hf:"), capabilities=("capitals", skill))
    found: Any = run.of(claim, "")
    assert (found.task_name, found.model_name) == ("implant:skill", "llama")
    needed = run.needed(claim, Case(), "")
    assert not needed.blocked and needed.always[0]["base"].label.startswith("load ")
    several = studies(model=model.removeprefix("hf:"), capabilities=(skill, "implant-skill:1"))
    assert "the implant suite takes one capability at a time" in several.needed(claim, Case(), "").blocked
