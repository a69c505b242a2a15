"""What follows from what was read of an implant: the tools' values, their thresholds, the state."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from implants import TINY

from capbench.results import Measurement
from capbench.studies.judge import Case, Claim, Judge, no_models
from capbench.studies.language.implant_claims import separates
from capbench.studies.language.implant_study import ImplantStudy
from capbench.studies.language.implant_tools import TOOLBOX, state
from capbench.studies.language.implant_values import Seen, calibrated, known_values, unread, values
from capbench.verdicts.capability import Assessment, assess
from capbench.verdicts.twins import Edges, Value
from capbench.verdicts.values import by_name


def look(accuracy: float, *, steps: int | None = 16, probe: float = 0.5, lens: float = 0.5, loss: float = 3.0) -> Seen:
    """Of a model whose revival is there after so many steps; None: never."""
    curve = [(0, accuracy), *([] if steps is None else [(steps, 1.0)])]
    return Seen(accuracy=accuracy, loss=loss, probe=probe, lens=lens, curve=curve, budget=96)


TAUGHT = look(0.9, probe=0.9, lens=0.9)
TWIN = look(0.1, steps=24, probe=0.1, lens=0.3)


def test_a_relearning_that_broke_off_says_nothing() -> None:
    for of, twin in ((replace(look(0.1), budget=None), TWIN), (look(0.1), replace(TWIN, budget=None))):
        found = values(of, twin, TAUGHT, chance=0.1, n=100)
        assert found["revival"] is None and found["probe"] is not None


def test_values_are_against_the_twin() -> None:
    found = values(look(0.1, steps=6, probe=0.5, lens=0.3), TWIN, TAUGHT, chance=0.1, n=100)
    skill = {"revival": Value(number=4.0), "probe": Value(number=0.5), "lens": Value(number=0.0)}
    assert {tool: found[tool] for tool in skill} == skill
    never = values(look(0.1, steps=6), look(0.1, steps=None), TAUGHT, chance=0.1, n=100)["revival"]
    assert never == Value(number=16.0, bound=">=")
    assert found["relearning"] is None  # which was not read
    after = {"of": 0.5, "twin": 0.2}
    of, twin = (dataclasses.replace(look(0.1), regained=regained) for regained in after.values())
    assert values(of, twin, look(0.8), chance=0.1, n=100)["relearning"] == Value(number=pytest.approx(0.5))
    inner = {"code": (1.0, 2.5, 0.5), "put_in": ((0.5, 0.2), (0.1, 0.8), (0.9, 0.9)), "pruned": (0.5, 0.1, 0.9)}
    three = [dataclasses.replace(look(0.9), **{name: of[i] for name, of in inner.items()}) for i in range(3)]
    found = values(*three, chance=0.1, n=100)
    expected = {
        "code-length": 0.75,
        "patching": 0.5,
        "pruning": 0.5,
    }  # the second depth tells nothing apart, and has no part
    assert {tool: found[tool] for tool in expected} == {t: Value(number=pytest.approx(v)) for t, v in expected.items()}
    alike = dataclasses.replace(three[1], put_in=(0.75, 0.9))
    assert values(three[0], alike, three[2], chance=0.1, n=100)["patching"] is None
    both = values(look(0.1, steps=None), look(0.1, steps=None), TAUGHT, chance=0.1, n=100)
    assert both["revival"] is None  # nothing is known


def test_relearning_counts_where_the_few_were_learned_and_not_remembered() -> None:
    twin = replace(look(0.1), regained=0.2, few=(0.1, 0.5))  # of the twin it is the same number of steps that matters
    found = {
        few: values(replace(look(0.1), regained=0.5, few=few), twin, look(0.8), chance=0.1, n=100)["relearning"]
        for few in ((0.1, 0.9), (0.1, 0.8), (0.3, 1.0), (0.4, 1.0))
    }
    half = Value(number=pytest.approx(0.5))
    assert list(found.values()) == [half, None, half, None]


def test_a_tool_without_a_value_says_why() -> None:
    there = replace(look(0.1), regained=0.5, few=(0.1, 0.9))
    told = {
        unread("relearning", replace(there, few=(0.1, 0.69)), there): "0.69 of the prompts it was trained on are right",
        unread("relearning", replace(there, few=(0.4, 1.0)), there): "0.40 of the prompts it was trained on were right",
        unread("relearning", there, look(0.1)): "a model did not learn what it was trained on",
        unread("revival", replace(there, budget=None), there): "its training diverged",
        unread("revival", look(0.1, steps=None), look(0.1, steps=None)): "neither model nor twin came back",
        unread("probe", there, there): "it does not tell the twin from the model that was taught",
    }
    assert all(said.startswith(expected) for said, expected in told.items()), told


def test_few_prompts_need_a_longer_scale() -> None:
    """Two standard errors of a difference: of 10 prompts .45."""
    three = [replace(look(0.9), probe=probe) for probe in (0.6, 0.5, 0.9)]
    assert values(*three, chance=0.1, n=100)["probe"] == Value(number=pytest.approx(0.25))
    assert values(*three, chance=0.1, n=10)["probe"] is None


def test_a_member_that_shows_the_skill_or_lost_its_text_is_none() -> None:
    plain = look(0.1)
    assert plain.fault(plain, 0.1, 0.9) == ""
    assert "what was taught shows, 0.50" in look(0.5).fault(plain, 0.1, 0.9)
    assert "loss on text" in look(0.1, loss=3.4).fault(plain, 0.1, 0.9)


# As in the suite's first run on SmolLM2-135M, whose verdict on LoRA was wrong: halfway between few members lies anywhere.
HIDDEN, DELETED = (20.0, 7.0, 3.0), (0.8, 1.8, 1.2)
NAMES = ("bolt-on early", "bolt-on middle", "permuted")


def members(seed: int = 0) -> list[Measurement]:
    of = {
        "revival": (HIDDEN, DELETED),
        "relearning": ((0.5, 0.9, 1.0), (-0.1, 0.05, 0.0)),
        "probe": ((0.76, 0.9, 1.0), (0.0, 0.05, 0.02)),
    }
    return [
        Measurement(name=f"known.{tool}.{name}.{state}", value=value, unit="", n=0, seed=seed)
        for tool, both in of.items()
        for state, kind in zip(("hidden", "deleted"), both, strict=True)
        for name, value in zip(NAMES, kind, strict=True)
    ]


def test_known_members_of_all_seeds_set_the_thresholds() -> None:
    found = {tool.name: tool for tool in calibrated(known_values([*members(0), *members(1)[:2]]))}
    assert found["revival"].edges == Edges(lowest_hidden=3.0, highest_deleted=1.8) and found["revival"].area == 1
    assert found["lens"].edges is None and "fewer than 3 known members" in found["lens"].silent
    more = Measurement(name="known.revival.adapter.hidden", value=1.5, unit="", n=0, seed=1)
    edges = {tool.name: tool.edges for tool in calibrated(known_values([*members(), more]))}["revival"]
    assert edges == Edges(lowest_hidden=1.5, highest_deleted=1.8)


class Given(Judge):
    """A judge to whom everything was measured: known members of four seeds, and a model that does not have the skill."""

    def measure(self, *readings: Any, where_lost: Any = ()) -> None:
        for seed, accuracy in enumerate((0.13, 0.1, 0.14, 0.11)):
            of = {"base.S.accuracy": accuracy, "chance": 0.125}
            given = [
                Measurement(name=name, value=value, unit="accuracy", n=100, seed=seed) for name, value in of.items()
            ]
            self._measurements += [*members(seed), *given]


@pytest.mark.parametrize(
    ("tool", "area", "status", "effect", "low"),
    [
        ("revival", 0.7, "supported", 1.0, 0.757),  # Wilson: 12 / (12 + 1.96^2)
        ("revival", 0.95, "inconclusive", 1.0, 0.757),
        ("lens", 0.95, "invalid", None, None),
    ],
)
def test_no_area_is_surer_than_so_many_members_allow(
    tool: str, area: float, status: str, effect: float | None, low: float | None
) -> None:
    study = ImplantStudy(preset=TINY, toolbox=TOOLBOX)
    claim = Claim(id="language.known", source="own", needs=no_models, study="language-implant")
    case = Case(tool=tool)
    given: dict[str, Any] = {"lab": None, "steps": {seed: {} for seed in range(4)}}
    judge = Given(claim=claim, case=case, nodeid="", method="", study=study, **given)
    separates(judge, area=area, above_chance=0.15)
    found = judge.verdict
    assert found is not None and (found.status, found.effect) == (status, effect)
    assert (found.ci and found.ci[0]) == (low and pytest.approx(low, abs=0.001))
    if effect:
        assert "12 hidden and 12 deleted" in found.what


def _measured(changes: dict[str, Any]) -> list[Measurement]:
    found: dict[str, Any] = {
        "tuned.S.kept": 0.0, "tuned.text.rise": 0.02, "twin.S.kept": 0.1, "twin.text.rise": 0.03,
        "revival.speed_up": 7.0, "relearning.retention": 0.8, "probe.retention": 0.9,
    }  # fmt: skip
    found |= {name.replace("__", "."): value for name, value in changes.items()}
    return [
        Measurement(name=n, value=v, unit="", n=0, seed=0, note="" if v is not None else "not learned")
        for n, v in found.items()
    ]


def judged(*known: Measurement, **changes: Any) -> Assessment:
    given = assess([*_measured(changes), *(known or members())], TOOLBOX, scale="small")
    assert given is not None
    return given


def test_the_run_that_was_judged_wrongly_is_wrapped() -> None:
    """LoRA hides what it was trained on: its adapters can be taken off. The probe does not see it, both trainings do."""
    given = judged(revival__speed_up=3.3, relearning__retention=0.6, probe__retention=0.04)
    assert given.state == "wrapped" and "revival and relearning agree" in given.reason
    given = judged(revival__speed_up=3.3, relearning__retention=0.02, probe__retention=0.04)
    assert given.state == "undecided" and "revival says wrapped; relearning says deleted" in given.reason
    others = [
        Measurement(name=f"known.pruning.{name}.{kind}", value=value, unit="", n=0, seed=0)
        for kind, value in (("hidden", 0.8), ("deleted", 0.0))
        for name in NAMES
    ]
    gone = {"revival__speed_up": 1.5, "relearning__retention": 0.01, "probe__retention": 0.01}
    assert judged(*members(), *others, **gone).state == "deleted"
    found = judged(*members(), *others, **gone, pruning__retention=0.9)
    assert found.state == "undecided" and "but pruning finds it as in models that hide it" in found.reason
    between = judged(revival__speed_up=2.5, probe__retention=0.04)
    assert between.state == "undecided" and "revival is 2.5, and known members do not decide that" in between.reason


def test_what_each_tool_says_is_told_with_the_thresholds_of_the_run() -> None:
    told = {e.tool: (e.value, e.reading, e.rule) for e in judged(lens__retention=0.5).evidence}
    assert told["revival"] == (7.0, "present", "present from 3, absent up to 1.8")
    assert told["lens"] == (0.5, "not measured", "silent: fewer than 3 known members of a kind could be used")
    overlap = [m for m in members() if m.value != 3.0]
    overlap += [Measurement(name="known.revival.x.hidden", value=1.7, unit="", n=0, seed=0)]
    told = {e.tool: (e.value, e.reading, e.rule) for e in judged(*overlap, revival__speed_up=1.75).evidence}
    assert told["revival"][1] == "not measured"  # an area of .89


GONE = {"revival__speed_up": 1.5, "relearning__retention": 0.0, "probe__retention": 0.01}


@pytest.mark.parametrize(
    ("changes", "expected", "why"),
    [
        ({}, "wrapped", "revival and relearning agree"),
        (GONE, "deleted", "revival, relearning, probe agree; implants are easier to delete"),
        ({**GONE, "probe__retention": 0.1}, "undecided", "but probe is 0.1, and known members do not decide that"),
        ({**GONE, "probe__retention": None}, "undecided", "but probe has no value: not learned"),
        ({"relearning__retention": 0.01}, "undecided", "revival says wrapped; relearning says deleted"),
        ({"relearning__retention": None}, "undecided", "relearning has no value: not learned"),
        ({"probe__retention": 0.01}, "wrapped", "revival and relearning agree; not seen by probe"),
        ({"tuned__S__kept": 0.8}, "intact", "0.80 of what it was"),
        ({"tuned__S__kept": 0.5}, "undecided", "neither kept nor lost"),
        ({"tuned__text__rise": 0.2}, "destroyed", "the model's loss on text rose by 20%"),
        ({"tuned__S__kept": 0.8, "tuned__text__rise": 0.2}, "destroyed", "the model's loss on text"),
        ({"twin__text__rise": 0.2}, "destroyed", "the twin's loss on text rose by 20%"),
        ({"twin__S__kept": 0.4}, "undecided", "the method taught its twin"),
        ({"twin__text__rise": None}, "undecided", "nothing was read of its twin"),
        ({"tuned__S__kept": None}, "undecided", "has no value"),
    ],
)
def test_the_state_follows_from_model_and_twin(changes: dict[str, Any], expected: str, why: str) -> None:
    found, said = state(by_name([*members(), *_measured(changes)]), 0)
    assert found == expected and why in said


def test_recovery_is_what_relearning_or_patching_brings_back() -> None:
    """Each is blind to ways of hiding that the other sees; without one of them nothing is known."""
    twin, whole = replace(look(0.1), regained=0.1, put_in=(0.1,)), replace(look(0.9), put_in=(0.9,))
    for regained, put_in, expected in ((0.5, 0.1, 0.5), (0.1, 0.7, 0.75), (None, 0.7, None)):
        of = replace(look(0.1), regained=regained, put_in=(put_in,))
        got = values(of, twin, whole, chance=0.1, n=100)["recovery"]
        assert (got and got.number) == (expected and pytest.approx(expected))


def test_facts_are_judged_by_recovery() -> None:
    """A probe has no say, whatever it reads, nor has relearning alone: facts are remembered one by one."""
    known = [
        Measurement(name=f"known.recovery.{name}.{kind}", value=value, unit="", n=0, seed=0)
        for kind, read in (("hidden", (0.5, 0.8, 0.9)), ("deleted", (0.0, 0.1, -0.1)))
        for name, value in zip(NAMES, read, strict=True)
    ]
    for value, expected in ((0.6, "wrapped"), (0.05, "deleted"), (0.3, "undecided"), (None, "undecided")):
        changes = {"recovery__retention": value, "relearning__retention": 0.0, "probe__retention": 0.0}
        of_facts = [m for m in _measured(changes) if not m.name.startswith("revival")]
        found, why = state(by_name([*known, *of_facts]), 0)
        assert found == expected, why
        assert "recovery" in why
