"""A tool says nothing that the noise of its zero could have made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.results import CapabilityState, Measurement
from capbench.verdicts.capability import Assessment, assess
from capbench.verdicts.tools import ABSENT, PRESENT, UNCLEAR, UNMEASURED, Tool, Toolbox

TOOL = Tool(
    name="probe", measured="probe.value", unit="retention", present=0.66, absent=0.34, auc={"small": 1.0},
    spread="probe.spread",
)  # fmt: skip
RATIO = Tool(name="revival", measured="revival.value", unit="ratio", present=2.0, absent=1.6, zero=1.0)
ORDER = {ABSENT: 0, UNCLEAR: 1, PRESENT: 2}
values = st.floats(-3, 4)
spreads = st.none() | st.floats(0, 3)
tools = st.sampled_from([TOOL, RATIO])


@pytest.mark.parametrize(
    ("value", "spread", "says"),
    [
        (0.70, None, PRESENT),
        (0.70, 0.0, PRESENT),
        (0.70, 0.30, PRESENT),  # the noise reaches .60
        (0.70, 0.40, UNCLEAR),  # .80: a model without it may read that
        (0.90, 0.40, PRESENT),
        (0.80, 0.40, UNCLEAR),  # the border belongs to the noise
        (0.50, 0.10, UNCLEAR),
        (0.20, 0.10, ABSENT),
        (0.20, 0.30, ABSENT),  # within the noise, as one without it is
        (0.20, 0.33, UNCLEAR),  # .66: 'present' itself is within the noise
        (-0.50, 0.50, UNCLEAR),
        (0.34, 0.32, ABSENT),
    ],
)
def test_what_lies_within_the_noise_is_not_present_and_a_threshold_there_decides_nothing(
    value: float, spread: float | None, says: str
) -> None:
    assert TOOL.reads(value, spread=spread) == says


def test_noise_counts_from_the_tool_s_own_zero() -> None:
    assert RATIO.reads(2.5, spread=0.4) == PRESENT  # 1 + .8
    assert RATIO.reads(2.5, spread=0.8) == UNCLEAR  # 1 + 1.6
    assert RATIO.reads(1.0, spread=0.4) == ABSENT and RATIO.reads(1.0, spread=0.5) == UNCLEAR


@pytest.mark.parametrize(
    ("value", "bound", "spread", "says"),
    [
        (3.0, ">=", 0.5, PRESENT),
        (3.0, ">=", 1.0, UNMEASURED),  # the true value may be above the noise, or not
        (1.0, "<=", 0.4, ABSENT),
        (1.0, "<=", 1.0, UNCLEAR),
        (3.0, "<=", 1.0, UNMEASURED),
        (None, "", 1.0, UNMEASURED),
    ],
)
def test_bounds_say_what_holds_for_all_values_within(value: float | None, bound: str, spread: float, says: str) -> None:
    assert RATIO.reads(value, bound, spread=spread) == says


@given(tools, values, values, spreads)
def test_a_higher_value_never_says_less(tool: Tool, a: float, b: float, spread: float | None) -> None:
    low, high = sorted((a, b))
    assert ORDER[tool.reads(low, spread=spread)] <= ORDER[tool.reads(high, spread=spread)]


@given(tools, values, st.sampled_from(["", ">=", "<="]), st.floats(0, 3), st.floats(0, 3))
def test_more_noise_takes_statements_away_and_never_makes_or_turns_one(
    tool: Tool, value: float, bound: str, a: float, b: float
) -> None:
    low, high = sorted((a, b))
    some, more = tool.reads(value, bound, spread=low), tool.reads(value, bound, spread=high)
    assert more == some or more not in (PRESENT, ABSENT)


@given(tools, values, st.sampled_from(["", ">=", "<="]))
def test_without_a_spread_or_with_none_at_all_thresholds_alone_decide(tool: Tool, value: float, bound: str) -> None:
    plain = tool.reads(value, bound)
    assert plain == tool.reads(value, bound, spread=None) == tool.reads(value, bound, spread=0.0)


def judged(*by_seed: tuple[float, float | None]) -> Assessment:
    found = []
    for seed, (value, spread) in enumerate(by_seed):
        measured = {"asked": 0.1, TOOL.measured: value} | ({} if spread is None else {TOOL.spread: spread})
        found += [Measurement(name=n, value=v, unit="", n=512, seed=seed) for n, v in measured.items()]
    assessed = assess(found, Toolbox(tools=(TOOL,), behaviour=("asked",)), scale="small")
    assert assessed is not None
    return assessed


@pytest.mark.parametrize(
    ("by_seed", "state", "reading", "rule"),
    [
        ([(0.7, None)], CapabilityState.WRAPPED, PRESENT, ""),
        ([(0.7, 0.2)], CapabilityState.WRAPPED, PRESENT, "; its zero's noise reaches up to 0.40"),
        ([(0.7, 0.4)], CapabilityState.UNDECIDED, UNCLEAR, "; its zero's noise reaches up to 0.80"),
        ([(0.1, 0.2)], CapabilityState.DELETED, ABSENT, "; its zero's noise reaches up to 0.40"),
        ([(0.1, 0.4)], CapabilityState.UNDECIDED, UNCLEAR, "; its zero's noise reaches up to 0.80"),
        ([(0.7, 0.1), (0.7, 0.4)], CapabilityState.UNDECIDED, UNCLEAR, "; its zero's noise reaches up to 0.20 to 0.80"),
    ],
)
def test_the_verdict_and_the_evidence_take_the_noise_of_each_seed(
    by_seed: list[tuple[float, float | None]], state: CapabilityState, reading: str, rule: str
) -> None:
    found = judged(*by_seed)
    (evidence,) = (e for e in found.evidence if e.tool == TOOL.name)
    assert (found.state, evidence.reading) == (state, reading)
    assert evidence.rule == f"present from 0.66, absent up to 0.34{rule}"
