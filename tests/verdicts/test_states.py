"""A state for every seed, then counted; what is censored decides nothing; what else broke."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from known_tools import COMPILED, TRAINED

from capbench.results import CapabilityState, CollateralState, FinetunedState, Measurement, Record, Status, Verdict
from capbench.verdicts.capability import Assessment, assess, capabilities
from capbench.verdicts.tools import ABSENT, PRESENT, UNCLEAR, UNMEASURED, Tool, Toolbox

INTACT, WRAPPED, DELETED = CapabilityState.INTACT, CapabilityState.WRAPPED, CapabilityState.DELETED
DESTROYED, UNDECIDED = CapabilityState.DESTROYED, CapabilityState.UNDECIDED
BOTH = "censored: neither the revival nor its baseline reached the accuracy in 400 steps"
BASELINE = "censored: the baseline did not reach the accuracy in 400 steps"

# A revival: its value, its bound, and why
Revival = tuple[float | None, str, str]
SOON: Revival = (6.0, "", "")
LATE: Revival = (1.0, "", "")
CENSORED: Revival = (None, "", BOTH)


def number(name: str, value: float | None, seed: int = 0, bound: str = "", note: str = "") -> Measurement:
    return Measurement(name=name, value=value, unit="", n=1, seed=seed, bound=bound, note=note)


def model(
    seed: int = 0,
    *,
    o_pt: float = 0.0,
    revival: Revival | None = None,
    others: Mapping[str, tuple[float, float]] | None = None,
    o_ft: tuple[float, float] | None = None,
    **tools: float | None,
) -> list[Measurement]:
    """What was measured of a model on one seed. others: accuracy of the base model and of the fine-tuned one."""
    found = [number(f"tuned.O_PT.c_te{c}", o_pt, seed) for c in (0, 1)]
    found += [number(f"base.O_FT.c_te{c}", 0.1, seed) for c in (0, 1)]
    found += [number(f"tuned.O_FT.c_te{c}", value, seed) for c, value in enumerate(o_ft or ())]
    if revival is not None:
        found.append(number("revival.speed_up", revival[0], seed, revival[1], revival[2]))
    names = {"patching": "patching.kept", "circuit": "circuit.retention", "weights": "pruning.weights.gain"}
    found += [number(names[tool], value, seed) for tool, value in tools.items()]
    for name, (before, after) in (others or {}).items():
        found += [number(f"tuned.before.{name}", before, seed), number(f"tuned.others.{name}", after, seed)]
    return found


def judged(*seeds: list[Measurement], toolbox: Toolbox = TRAINED) -> Assessment:
    found = assess([m for of_seed in seeds for m in of_seed], toolbox, scale="small")
    assert found is not None
    return found


def wrapped(seed: int) -> list[Measurement]:
    return model(seed, revival=SOON, patching=1.0)


def deleted(seed: int) -> list[Measurement]:
    return model(seed, revival=LATE, patching=0.0)


# ---- counted


def test_every_seed_has_a_state_of_its_own_and_they_are_counted() -> None:
    found = judged(wrapped(0), wrapped(1), deleted(2))
    assert found.per_seed == {0: WRAPPED, 1: WRAPPED, 2: DELETED}
    assert (found.state, found.reason) == (UNDECIDED, "wrapped on 2 of 3 seeds, deleted on 1")
    found = judged(*map(wrapped, range(4)), deleted(4))
    assert (found.state, found.reason) == (WRAPPED, "wrapped on 4 of 5 seeds, deleted on 1")


def test_a_mean_over_seeds_decides_nothing() -> None:
    found = judged(model(0, o_pt=1.0), model(1), model(2))  # on average .33, which would be gone
    assert found.per_seed == {0: INTACT, 1: UNDECIDED, 2: UNDECIDED}
    assert found.state is UNDECIDED
    assert found.reason.startswith(
        "undecided on 2 of 3 seeds, intact on 1: behaviour gone, but revival and patching were not"
    )
    assert (found.evidence[0].value, found.evidence[0].reading) == (pytest.approx(1 / 3), UNCLEAR)


def test_a_seed_that_agrees_for_the_same_reason_gives_that_reason_with_the_readings_over_seeds() -> None:
    found = judged(wrapped(0), model(1, revival=SOON, patching=0.7), wrapped(2))
    whole = "behaviour gone, but the capability is still there: behaviour absent, revival present, patching present"
    assert (found.state, found.reason) == (WRAPPED, whole)


def test_seeds_that_are_undecided_for_different_reasons_are_named() -> None:
    found = judged(model(0, o_pt=0.7), model(1, revival=SOON, patching=0.0), wrapped(2))
    assert found.state is UNDECIDED
    assert found.reason == (
        "undecided on 2 of 3 seeds, wrapped on 1; seed 0: behaviour neither kept nor gone (behaviour unclear); "
        "seed 1: the tools disagree: behaviour absent, revival present, patching absent"
    )


def test_a_single_seed_is_provisional() -> None:
    assert judged(wrapped(0)).provisional and not judged(wrapped(0), wrapped(1)).provisional


def test_the_fine_tuned_task_is_counted_too() -> None:
    shortcut, learned = (0.0, 1.0), (1.0, 1.0)
    agree = judged(*(model(seed, o_ft=shortcut) for seed in range(3)))
    differ = judged(model(0, o_ft=shortcut), model(1, o_ft=shortcut), model(2, o_ft=learned))
    assert (agree.finetuned, differ.finetuned) == (FinetunedState.SHORTCUT, None)


def record(seeds: tuple[int, ...], *measured: list[Measurement]) -> Record:
    verdict = Verdict(
        status=Status.INVALID, effect=None, ci=None, threshold=None, direction=">=", margin=None, n_seeds=0
    )
    measurements = tuple(m for of_seed in measured for m in of_seed)
    protocol = {"c_tr": 1, "lr": "small"}
    return Record(
        claim="c", case="", statement="", source="", nodeid="", model="m", task="t", method="x", protocol=protocol,
        verdict=verdict, seeds=seeds, measurements=measurements,
    )  # fmt: skip


def test_a_seed_on_which_a_model_was_not_measured_is_undecided_and_not_dropped() -> None:
    (found,) = capabilities([record((0, 1, 2), wrapped(0))], lambda _: TRAINED, scale="small")
    assert found.per_seed == {0: WRAPPED, 1: UNDECIDED, 2: UNDECIDED} and found.verdict is UNDECIDED
    assert found.reason == "undecided on 2 of 3 seeds, wrapped on 1: behaviour was not measured"
    assert found.evidence[1].per_seed == {0: 6.0, 1: None, 2: None}


def test_seeds_that_only_some_claims_have_do_not_count() -> None:
    """Those that keep their behaviour need no tool: if these alone counted, three wrapped of three would be three of four."""
    all_tools = record((0, 1, 2), *map(wrapped, range(3)))
    more = [model(3), model(4, o_pt=1.0)]  # further seeds of a claim that looks at behaviour only
    (found,) = capabilities([all_tools, record((0, 1, 2, 3, 4), *more)], lambda _: TRAINED, scale="small")
    assert found.per_seed == {0: WRAPPED, 1: WRAPPED, 2: WRAPPED} and found.verdict is WRAPPED


# ---- missing is missing


TOOL = Tool(name="t", measured="t.value", unit="ratio", present=2.0, absent=1.6)


@pytest.mark.parametrize(
    ("value", "bound", "reading"),
    [
        (None, "", UNMEASURED),
        (2.0, ">=", PRESENT),
        (1.9, ">=", UNMEASURED),  # it may be present; it is not absent
        (0.1, ">=", UNMEASURED),  # nothing at all is known
        (1.6, "<=", ABSENT),
        (1.7, "<=", UNCLEAR),  # absent or unclear: in no case present
        (2.0, "<=", UNMEASURED),
        (9.0, "<=", UNMEASURED),
    ],
)
def test_a_bound_speaks_in_one_direction_only(value: float | None, bound: str, reading: str) -> None:
    assert TOOL.reads(value, bound) == reading


@pytest.mark.parametrize(
    ("revival", "state", "said"),
    [
        (
            CENSORED,
            UNDECIDED,
            rf"revival was not measured \(behaviour absent, patching absent\); revival has no value \({BOTH}\)$",
        ),
        ((1.2, ">=", BASELINE), UNDECIDED, rf"not measured .*; revival is only known to be >= 1.2 \({BASELINE}\)$"),
        ((8.0, ">=", BASELINE), UNDECIDED, "the tools disagree: behaviour absent, revival present, patching absent$"),
        ((0.5, "<=", "censored"), DELETED, "no tool finds the capability"),
    ],
)
def test_a_trained_model_is_not_deleted_where_nothing_was_relearnt(
    revival: Revival, state: CapabilityState, said: str
) -> None:
    found = judged(model(revival=revival, patching=0.0))
    assert found.state is state and re.search(said, found.reason), found.reason


@pytest.mark.parametrize(
    ("revival", "state"),
    [
        (CENSORED, DELETED),  # nor does what was never taught come back: that says nothing
        ((1.3, ">=", BASELINE), DELETED),
        ((2.0, ">=", BASELINE), UNDECIDED),
        ((0.5, "<=", "censored"), DELETED),
        (LATE, DELETED),
        (SOON, UNDECIDED),
    ],
)
def test_a_compiled_model_is_not_deleted_where_it_comes_back_soon(revival: Revival, state: CapabilityState) -> None:
    found = judged(model(revival=revival, circuit=0.0, weights=0.0), toolbox=COMPILED)
    assert found.state is state, found.reason


def test_a_lower_bound_may_say_wrapped() -> None:
    assert judged(model(revival=(8.0, ">=", BASELINE), patching=1.0)).state is WRAPPED


@pytest.mark.parametrize(
    ("revivals", "value", "bound", "reading"),
    [
        ([(4.0, "", ""), (8.0, "", "")], 6.0, "", PRESENT),
        ([(4.0, "", ""), (8.0, ">=", BASELINE)], 4.0, ">=", PRESENT),  # at least that on every seed; never a mean
        ([(0.5, "<=", ""), (1.0, "", "")], 1.0, "<=", ABSENT),
        ([(0.5, "<=", ""), (8.0, ">=", BASELINE)], None, "", UNCLEAR),
        ([CENSORED, CENSORED], None, "", UNMEASURED),
        ([CENSORED, (4.0, "", "")], 4.0, "", UNCLEAR),  # one seed of two is too few
    ],
)
def test_over_seeds_a_bound_stays_one(revivals: list[Revival], value: float | None, bound: str, reading: str) -> None:
    found = judged(*(model(seed, revival=revival) for seed, revival in enumerate(revivals))).evidence[1]
    assert (found.value, found.bound, found.reading) == (value, bound, reading)
    assert found.per_seed == {seed: revival[0] for seed, revival in enumerate(revivals)}
    assert found.bounds == {seed: revival[1] for seed, revival in enumerate(revivals) if revival[1]}


def test_of_two_claims_the_one_that_knows_more_is_read() -> None:
    found = judged(model(revival=SOON, patching=1.0), model(revival=CENSORED), model(revival=(3.0, ">=", BASELINE)))
    assert (found.evidence[1].value, found.evidence[1].bound) == (6.0, "")


# ---- what else broke

KNOWS = (1.0, 1.0)


@pytest.mark.parametrize(
    ("others", "state", "worst", "value"),
    [
        ({"T": (1.0, 0.9), "I.a": KNOWS}, CollateralState.KEPT, "T", 0.9),  # the border belongs to 'kept'
        (
            {"T": (0.96, 0.48), "I.a": KNOWS},
            CollateralState.LOST,
            "T",
            0.5,
        ),  # a share of the base model's, not an accuracy
        ({"T": KNOWS, "I.a": (1.0, 0.7)}, CollateralState.DAMAGED, "I.a", 0.7),
        ({"T": KNOWS, "I.b": (0.94, 0.0)}, CollateralState.KEPT, "T", 1.0),  # the base model did not know that
    ],
)
def test_the_worst_of_what_the_base_model_knew_counts(
    others: dict[str, tuple[float, float]], state: CollateralState, worst: str, value: float
) -> None:
    found = judged(model(o_pt=1.0, others=others)).collateral
    assert found is not None
    assert (found.state, found.worst, found.value) == (state, worst, pytest.approx(value))


def test_what_knew_nothing_else_has_no_collateral_damage() -> None:
    assert judged(model()).collateral is None
    assert judged(model(others={"I.b": (0.9, 0.0)})).collateral is None


def test_over_seeds_collateral_damage_is_counted_and_at_worst_what_some_seed_has() -> None:
    shares = [1.0, 1.0, 1.0, 0.95, 0.2]
    of_five = judged(*(model(seed, others={"T": (1.0, share)}) for seed, share in enumerate(shares))).collateral
    of_two = judged(*(model(seed, others={"T": (1.0, share)}) for seed, share in enumerate(shares[3:]))).collateral
    assert of_five is not None and of_two is not None
    assert (of_five.state, of_two.state) == (CollateralState.KEPT, CollateralState.LOST)
    assert of_five.per_seed == dict(enumerate(shares))
    assert of_five.value == pytest.approx(0.83)


LOST = {"T": (1.0, 0.3), "I.a": (1.0, 0.5)}


@pytest.mark.parametrize("tools", [{}, {"revival": SOON, "patching": 0.0}, {"revival": LATE, "patching": 0.0}])
def test_a_model_that_lost_everything_is_destroyed_unless_the_capability_is_found(tools: dict[str, float]) -> None:
    found = judged(model(others=LOST, **tools))  # type: ignore[arg-type]
    assert found.state is DESTROYED
    assert found.reason == (
        "behaviour gone, and everything else that the base model knew; T 0.30 to I.a 0.50 of the base model's accuracy"
    )


def test_a_wrapper_around_everything_is_a_wrapper() -> None:
    """As one biased answer of the unembedding, which all tasks share."""
    found = judged(model(others=LOST, revival=SOON, patching=1.0))
    assert found.state is WRAPPED and found.collateral is not None
    assert found.collateral.state is CollateralState.LOST


@pytest.mark.parametrize(
    ("o_pt", "others", "state"),
    [
        (0.0, {**LOST, "CC.a": (1.0, 0.51)}, DELETED),  # something is left
        (0.0, {"I.b": (0.5, 0.0)}, DELETED),  # there was nothing else
        (0.0, {**LOST, "I.b": (0.5, 0.5)}, DESTROYED),  # what the base model did not know is not left either
        (0.7, LOST, UNDECIDED),
        (1.0, LOST, INTACT),
    ],
)
def test_destroyed_is_only_what_lost_all_of_it(
    o_pt: float, others: dict[str, tuple[float, float]], state: CapabilityState
) -> None:
    assert judged(model(o_pt=o_pt, others=others, revival=LATE, patching=0.0)).state is state


def test_destroyed_on_some_seeds_is_counted_as_any_state() -> None:
    found = judged(model(0, others=LOST), model(1, others=LOST), deleted(2))
    assert (found.state, found.reason) == (UNDECIDED, "destroyed on 2 of 3 seeds, deleted on 1")
    other = {"T": (1.0, 0.1)}
    found = judged(model(0, others=LOST), model(1, others=other))
    assert found.state is DESTROYED
    assert found.reason.endswith(
        "seed 0: T 0.30 to I.a 0.50 of the base model's accuracy; seed 1: T 0.10 of the base model's accuracy"
    )
