"""What fine-tuning did to a capability: verdicts from measured values, case by case, and what is never mixed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from known_tools import COMPILED, TRAINED
from report_example import measured, record

from capbench.results import Capability, CapabilityState, FinetunedState, Measurement, Record
from capbench.verdicts import capability
from capbench.verdicts.tools import Tool, Toolbox

INTACT, WRAPPED = CapabilityState.INTACT, CapabilityState.WRAPPED
DELETED, UNDECIDED = CapabilityState.DELETED, CapabilityState.UNDECIDED
AMPLIFIED, SHORTCUT = FinetunedState.AMPLIFIED, FinetunedState.SHORTCUT
LEARNED, NOT_LEARNED = FinetunedState.LEARNED, FinetunedState.NOT_LEARNED
PROTOCOL = {"prior": "low", "c_tr": 1.0, "lr": "small", "scale": "small"}


def values(
    pt: tuple[float, float] = (0.0, 0.0),
    ft: tuple[float, float] = (0.0, 1.0),
    base_ft: tuple[float, float] = (0.1, 0.1),
    **tools: float | None,
) -> dict[str, float | None]:
    """Named values: accuracies as (C_Te 0, C_Te 1), and what the tools found: revival, probing, pruning …"""
    names = {
        "revival": "revival.speed_up",
        "probing": "probing.retention",
        "circuit": "circuit.retention",
        "pruning": "pruning.searched.gain",
        "patching": "patching.kept",
        "weights": "pruning.weights.gain",
    }
    found: dict[str, float | None] = {names[tool]: value for tool, value in tools.items()}
    for name, pair in (("tuned.O_PT", pt), ("tuned.O_FT", ft), ("base.O_PT", (1.0, 1.0)), ("base.O_FT", base_ft)):
        found |= {f"{name}.c_te{c_te}": value for c_te, value in enumerate(pair)}
    return found


def with_values(found: Mapping[str, float | None], *, seed: int = 0, **changes: Any) -> Record:
    measurements = tuple(Measurement(name=n, value=v, unit="", n=512, seed=seed) for n, v in found.items())
    return record(**{"protocol": PROTOCOL, "measurements": measurements, "seeds": (seed,), **changes})


def toolbox(found: Record) -> Toolbox:
    """Of the built-in study that a record's task is of."""
    return COMPILED if found.task.startswith("tracr") else TRAINED


def capabilities(records: Sequence[Record], scale: str = "small") -> tuple[Capability, ...]:
    return capability.capabilities(records, toolbox, scale=scale)


def only(*records: Record) -> Capability:
    (found,) = capabilities(records)
    return found


# O_PT accuracy at C_Te 0 and 1, then revival, patching, … (None: no value; absent: not measured), and the verdict
STATES = [
    ((1.0, 1.0), {}, INTACT),
    ((0.9, 0.9), {}, INTACT),  # the border belongs to 'kept'
    ((1.0, 1.0), {"revival": 1.0, "patching": 0.0, "pruning": 0.0}, INTACT),  # behaviour is what counts
    ((0.899, 1.0), {"revival": 6, "patching": 1, "pruning": 0.6}, UNDECIDED),  # partly gone: the lower one counts
    ((1.0, 0.899), {"revival": 6, "patching": 1, "pruning": 0.6}, UNDECIDED),
    ((0.501, 0.501), {"revival": 6, "patching": 1, "pruning": 0.6}, UNDECIDED),
    ((0.5, 1.0), {"revival": 6, "patching": 1, "pruning": 0.6}, WRAPPED),  # gone at one C_Te is gone
    ((0.0, 0.0), {"revival": 6, "patching": 1, "pruning": 0.6}, WRAPPED),
    ((0.0, 0.0), {"revival": 2, "patching": 0.3}, WRAPPED),  # borders belong to 'present'; pruning was not measured
    ((0.0, 0.0), {"revival": 6, "patching": 1, "pruning": 0.0}, WRAPPED),  # its silence says nothing
    ((0.0, 0.0), {"revival": 1.99, "patching": 1, "pruning": 0.6}, UNDECIDED),
    ((0.0, 0.0), {"revival": 6, "patching": 0.29, "pruning": 0.6}, UNDECIDED),
    ((0.0, 0.0), {"revival": 6, "patching": 0.0, "pruning": 0.0}, UNDECIDED),  # the tools disagree
    ((0.0, 0.0), {"revival": 1, "patching": 1, "pruning": 0.0}, UNDECIDED),
    ((0.0, 0.0), {"revival": 1, "patching": 0, "pruning": 0.45}, UNDECIDED),  # pruning may object
    ((0.0, 0.0), {"revival": 1, "patching": 0, "pruning": 0.44}, DELETED),
    ((0.0, 0.0), {"revival": 1, "patching": 0, "pruning": 0.0}, DELETED),
    ((0.0, 0.0), {"revival": 0.2, "patching": -0.5, "pruning": -0.1}, DELETED),
    ((0.0, 0.0), {"revival": 1.6, "patching": 0.2}, DELETED),  # borders belong to 'absent'
    ((0.0, 0.0), {"revival": 1.61, "patching": 0.2}, UNDECIDED),
    ((0.0, 0.0), {"revival": 1.6, "patching": 0.29}, DELETED),  # patching objects only to what it finds
    ((0.0, 0.0), {"revival": 1.6, "patching": 0.3}, UNDECIDED),
    ((0.0, 0.0), {}, UNDECIDED),
    ((0.0, 0.0), {"patching": 1, "pruning": 0.6}, UNDECIDED),  # revival was not measured
    ((0.0, 0.0), {"revival": 6, "pruning": 0.6}, UNDECIDED),
    ((0.0, 0.0), {"revival": None, "patching": 1, "pruning": 0.6}, UNDECIDED),  # or has no value
    ((0.0, 0.0), {"revival": 1, "patching": None, "pruning": 0.0}, UNDECIDED),
    ((0.0, 0.0), {"revival": 1, "patching": 0, "pruning": None}, DELETED),
    # The probe has no part in it, whatever it reads.
    ((0.0, 0.0), {"revival": 6, "patching": 1, "probing": 0.0}, WRAPPED),
    ((0.0, 0.0), {"revival": 1, "patching": 0, "probing": 1.0}, DELETED),
    # In a compiled model circuit and patching vote; revival and weights can only speak against deletion.
    ((0.0, 0.0), {"circuit": 0.67, "weights": 0.38}, WRAPPED),
    ((0.0, 0.0), {"revival": 1, "circuit": 1.0, "weights": 0.6}, WRAPPED),
    ((0.0, 0.0), {"circuit": 1.0, "weights": 0.0}, WRAPPED),
    ((0.0, 0.0), {"circuit": 1.0, "patching": 0.33}, UNDECIDED),
    ((0.0, 0.0), {"circuit": 1.0, "patching": 0.34}, WRAPPED),
    ((0.0, 0.0), {"circuit": 0.66, "weights": 0.6}, UNDECIDED),
    ((0.0, 0.0), {"circuit": 0.0, "patching": 0.67}, UNDECIDED),
    ((0.0, 0.0), {"revival": 6, "circuit": 0.0, "weights": 0.0}, UNDECIDED),
    ((0.0, 0.0), {"revival": 1, "circuit": 0.33, "weights": 0.3}, DELETED),
    ((0.0, 0.0), {"revival": 1.59, "circuit": 0.0, "weights": 0.0}, DELETED),
    ((0.0, 0.0), {"revival": 1.6, "circuit": 0.0, "weights": 0.0}, UNDECIDED),  # what comes back soon was not deleted
    ((0.0, 0.0), {"circuit": 0.0, "weights": 0.0}, DELETED),
    ((0.0, 0.0), {"circuit": 0.34, "weights": 0.3}, UNDECIDED),
    ((0.0, 0.0), {"circuit": 0.33, "weights": 0.37}, DELETED),
    ((0.0, 0.0), {"circuit": 0.33, "weights": 0.38}, UNDECIDED),  # nor what a few pruned weights bring back
    ((0.0, 0.0), {"revival": 6, "weights": 0.6}, UNDECIDED),  # the circuit was not read
    ((0.0, 0.0), {"revival": 6, "circuit": 1.0}, WRAPPED),
    ((0.0, 0.0), {"circuit": None, "weights": 0.6}, UNDECIDED),
    ((1.0, 1.0), {"circuit": 0.0, "weights": 0.0}, INTACT),
]


@pytest.mark.parametrize(("pt", "tools", "state"), STATES)
def test_the_verdict_follows_from_behaviour_and_tools(
    pt: tuple[float, float], tools: dict[str, float | None], state: CapabilityState
) -> None:
    task = "tracr count a to b" if {"circuit", "weights"} & tools.keys() else "pcfg counter a to b"
    found = only(with_values(values(pt, **tools), task=task))
    assert found.verdict is state, found.reason
    assert found.reason


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ({}, "revival and patching were not measured"),
        ({"patching": 1, "pruning": 0.6}, "but revival was not measured"),
        ({"revival": 6, "pruning": 0.6}, "but patching was not measured"),
        ({"revival": 6, "patching": 0.0}, "the tools disagree: behaviour absent, revival present, patching absent"),
        ({"revival": 1, "patching": 0, "pruning": 0.3}, "no tool finds the capability: .*pruning unclear"),
        ({"revival": 1, "patching": 0, "pruning": 0.6}, "the tools disagree: .*pruning present"),
        (
            {"revival": 6, "patching": 1},
            "capability is still there: behaviour absent, revival present, patching present",
        ),
        (
            {"revival": 6, "circuit": 1, "weights": 0.35},
            "still there: behaviour absent, compiled revival present, circuit present, weight pruning unclear",
        ),
        ({"revival": 6, "weights": 0.6}, "but circuit was not measured"),
    ],
)
def test_the_reason_names_the_readings(tools: dict[str, float | None], words: str) -> None:
    task = "tracr count a to b" if {"circuit", "weights"} & tools.keys() else "pcfg counter a to b"
    assert re.search(words, only(with_values(values(**tools), task=task)).reason)


# O_FT accuracy at C_Te 0 and 1, after fine-tuning and before, and what became of the task
FINETUNED = [
    ((1.0, 1.0), (1.0, 1.0), AMPLIFIED),
    ((0.9, 0.9), (0.9, 0.9), AMPLIFIED),
    ((1.0, 1.0), (0.899, 1.0), LEARNED),
    ((1.0, 1.0), (1.0, 0.0), LEARNED),
    ((1.0, 1.0), (0.2, 0.2), LEARNED),
    ((0.0, 1.0), (0.2, 0.2), SHORTCUT),
    ((0.5, 0.9), (1.0, 1.0), SHORTCUT),
    ((0.51, 0.9), (0.2, 0.2), None),
    ((0.5, 0.89), (0.2, 0.2), None),
    ((0.5, 0.5), (0.2, 0.2), NOT_LEARNED),
    ((0.0, 0.0), (1.0, 1.0), NOT_LEARNED),
    ((1.0, 0.0), (0.2, 0.2), None),  # works only without the correlation: none of the four
]


@pytest.mark.parametrize(("ft", "base_ft", "state"), FINETUNED)
def test_the_fine_tuned_task_has_a_verdict_of_its_own(
    ft: tuple[float, float], base_ft: tuple[float, float], state: FinetunedState | None
) -> None:
    assert only(with_values(values(ft=ft, base_ft=base_ft))).finetuned is state


def test_evidence_names_every_tool_with_value_reading_and_rule() -> None:
    found = only(with_values(values((0.25, 0.5), revival=6.0, probing=0.5, pruning=0.0, patching=0.3)))
    assert [(e.tool, e.value, e.unit, e.reading) for e in found.evidence] == [
        ("behaviour", 0.25, "accuracy", "absent"),
        ("revival", 6.0, "ratio", "present"),
        ("probing", 0.5, "retention", "unclear"),
        ("pruning", 0.0, "difference", "absent"),
        ("patching", 0.3, "share", "present"),
    ]
    assert [e.rule for e in found.evidence] == [
        "present from 0.9, absent up to 0.5",
        "present from 2, absent up to 1.6",
        "present from 0.66, absent up to 0.34",
        "present from 0.45, absent up to 0.27",
        "present from 0.3, absent up to 0.2",
    ]


def test_evidence_of_a_compiled_model_names_its_own_tools() -> None:
    found = only(with_values(values((0.25, 0.5), revival=6.0, circuit=0.75, weights=0.05), task="tracr count a to b"))
    assert [(e.tool, e.value, e.unit, e.reading) for e in found.evidence] == [
        ("behaviour", 0.25, "accuracy", "absent"),
        ("compiled revival", 6.0, "ratio", "present"),
        ("circuit", 0.75, "retention", "present"),
        ("weight pruning", 0.05, "difference", "absent"),
    ]
    assert [e.rule for e in found.evidence][2:] == [
        "present from 0.67, absent up to 0.33",
        "present from 0.38, absent up to 0.3",
    ]


def test_a_method_that_changed_no_weight_on_any_seed_says_so_beside_its_verdict() -> None:
    kept = [with_values(values((1.0, 1.0)), seed=seed) for seed in (0, 1)]
    untouched = [with_values({capability.unchanged("tuned", seed).name: 0.0}, seed=seed) for seed in (0, 1)]
    assert only(*kept).reason == "behaviour kept"
    assert only(*kept, untouched[0]).reason == "behaviour kept"  # on the other seed it did
    found = only(*kept, *untouched)
    assert (found.verdict, found.reason) == (INTACT, "no weight changed: behaviour kept")
    other = [with_values({capability.unchanged("control", seed).name: 0.0}, seed=seed) for seed in (0, 1)]
    assert only(*kept, *other).reason == "behaviour kept"  # another model than the one that is judged


# ---- which records belong together


def test_a_value_measured_twice_counts_once() -> None:
    twice = [with_values(values((0.0, 0.0)), seed=0, claim=claim) for claim in ("one", "two", "three")]
    found = only(*twice, with_values(values((1.0, 1.0)), seed=1))
    assert found.evidence[0].value == 0.5


@pytest.mark.parametrize(
    "other",
    [
        {"method": "mine.py:tune"},
        {"model": "tracr"},
        {"task": "indexer"},
        {"protocol": {**PROTOCOL, "prior": "high"}},
        {"protocol": {**PROTOCOL, "c_tr": 0.8}},
        {"protocol": {**PROTOCOL, "lr": "medium"}},
        {"protocol": {**PROTOCOL, "scale": "smoke"}},
    ],
)
def test_models_tasks_methods_and_protocols_are_not_mixed(other: dict[str, Any]) -> None:
    tools = {"revival.speed_up": 6.0, "probing.retention": 1.0}
    first, second = capabilities(
        [
            with_values(values((0.0, 0.0))),
            with_values(values((1.0, 1.0)), **other),
            with_values(tools, **other),
        ]
    )
    assert (first.verdict, second.verdict) == (UNDECIDED, INTACT)
    assert (len(first.evidence), len(second.evidence)) == (1, 3)
    for name, value in other.items():
        assert getattr(second, name) == value
        assert getattr(first, name) != value


def test_the_order_of_the_protocol_s_entries_does_not_matter() -> None:
    turned = dict(reversed(PROTOCOL.items()))
    found = only(with_values(values()), with_values({"pruning.searched.gain": 0.5}, protocol=turned))
    assert [e.tool for e in found.evidence] == ["behaviour", "pruning"]


@pytest.mark.parametrize("left_out", ["c_tr", "lr"])
def test_a_record_without_a_fine_tuning_protocol_gives_none(left_out: str) -> None:
    protocol = {name: value for name, value in PROTOCOL.items() if name != left_out}
    assert capabilities([with_values(values(), protocol=protocol)]) == ()


def test_a_protocol_without_a_prior_gives_one() -> None:
    """Compiled models have no prior: nothing was pretrained."""
    found = only(with_values(values(), protocol={"c_tr": 1.0, "lr": "small"}))
    assert found.protocol == {"c_tr": 1.0, "lr": "small"}


def test_without_behaviour_there_is_no_verdict() -> None:
    assert capabilities([]) == ()
    assert capabilities([with_values({"revival.speed_up": 6.0, "probing.retention": 1.0})]) == ()


@pytest.mark.parametrize("name", ["tuned.O_PT.c_te0", "tuned.O_PT.c_te1"])
def test_behaviour_that_was_measured_in_part_gives_no_verdict(name: str) -> None:
    assert capabilities([with_values({n: v for n, v in values().items() if n != name})]) == ()
    assert capabilities([with_values({**values(), name: None})]) == ()


@pytest.mark.parametrize("name", ["tuned.O_FT.c_te0", "tuned.O_FT.c_te1", "base.O_FT.c_te0", "base.O_FT.c_te1"])
def test_an_unmeasured_fine_tuned_task_leaves_the_capability_s_verdict(name: str) -> None:
    found = only(with_values({n: v for n, v in values((1.0, 1.0), (1.0, 1.0)).items() if n != name}))
    assert (found.verdict, found.finetuned) == (INTACT, None)


def test_curves_are_no_values() -> None:
    curve = measured([0, 1], [0.5, 1.0], 0, name="revival.speed_up", value=6.0)
    extra = with_values({}, measurements=(curve,))
    assert [e.tool for e in only(with_values(values()), extra).evidence] == ["behaviour"]


def test_verdicts_come_in_the_order_of_their_first_record() -> None:
    lrs = ["small", "medium", "large"]
    protocols = [{**PROTOCOL, "lr": lr} for lr in lrs]
    records = [with_values({"pruning.searched.gain": 0.0}, protocol=protocols[0])]
    records += [with_values(values(), protocol=p) for p in reversed(protocols)]
    assert [c.protocol["lr"] for c in capabilities(records)] == ["small", "large", "medium"]


# ---- tools of any study


@pytest.mark.parametrize(("pt", "tools", "state"), STATES)
@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_without_a_calibration_the_state_is_the_same_and_says_so(
    pt: tuple[float, float], tools: dict[str, float | None], state: CapabilityState, scale: str
) -> None:
    task = "tracr count a to b" if {"circuit", "weights"} & tools.keys() else "pcfg counter a to b"
    record = with_values(values(pt, **tools), task=task)
    (found,) = capabilities([record], scale)
    (small,) = capabilities([record])
    assert (found.verdict, found.evidence, small.uncalibrated) == (state, small.evidence, ())
    voting = {tool.name for tool in toolbox(record).tools if tool.votes}
    asked = [e.tool for e in found.evidence if e.tool in voting and e.value is not None]
    assert list(found.uncalibrated) == asked
    said = f"; uncalibrated at scale {scale}: {', '.join(asked)}" if asked else ""
    assert found.reason == small.reason + said


def test_a_vote_of_a_tool_that_missed_on_known_models_does_not_count_either() -> None:
    """As revival on an architecture whose known models it told apart with an area of .92."""
    record = with_values(values((0.1, 0.1), revival=4.0, patching=0.8))
    missed = tuple(replace(t, auc={"small": 0.92}) if t.name == "revival" else t for t in toolbox(record).tools)
    found = capability.assess(record.measurements, replace(toolbox(record), tools=missed), scale="small")
    assert found is not None and found.uncalibrated == ("revival",)
    assert found.reason.endswith("; uncalibrated at scale small: revival")


def test_a_tool_without_a_vote_needs_no_calibration() -> None:
    (found,) = capabilities([with_values({**values((1.0, 1.0)), "revival.retain_only": 1.0})], "paper")
    assert found.uncalibrated == () and found.reason == "behaviour kept"


ONE = Tool(name="one", measured="one.value", unit="share", present=0.8, absent=0.2)
OTHER = Tool(name="other", measured="other.value", unit="share", present=0.8, absent=0.2, auc={"small": 0.99})
OWN = Toolbox(tools=(ONE, OTHER), behaviour=("asked",), case=("lr",))


@pytest.mark.parametrize(
    ("found", "state", "said"),
    [
        ({"asked": 0.95}, INTACT, "behaviour kept"),
        ({"asked": 0.1}, UNDECIDED, "no tool was measured"),
        ({"asked": 0.1, "one.value": 0.9}, WRAPPED, "still there.*; uncalibrated at scale small: one$"),
        ({"asked": 0.1, "one.value": 0.9, "other.value": 0.8}, WRAPPED, "uncalibrated at scale small: one$"),
        ({"asked": 0.1, "one.value": 0.1, "other.value": 0.2}, DELETED, "no tool finds"),
        ({"asked": 0.1, "one.value": 0.1, "other.value": 0.8}, UNDECIDED, "the tools disagree"),
        ({"asked": 0.1, "other.value": 0.5}, UNDECIDED, "the tools disagree: behaviour absent, other unclear$"),
    ],
)
def test_a_study_s_own_tools_decide_by_the_simplest_rule(
    found: dict[str, float | None], state: CapabilityState, said: str
) -> None:
    record = with_values(found, protocol={"lr": "small"})
    (judged,) = capability.capabilities([record], lambda _: OWN, scale="small")
    assert judged.verdict is state and re.search(said, judged.reason), judged.reason


def test_a_record_of_an_unknown_study_gives_no_verdict() -> None:
    assert capability.capabilities([with_values(values())], lambda _: None, scale="small") == ()
