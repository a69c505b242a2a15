"""What a judge decides: conditions, and controls by their interval over seeds."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
from fake_judge import FAILS, PASSES, judge
from hypothesis import given
from hypothesis import strategies as st

from capbench.results import Status
from capbench.studies.attacks import readings_of_revival
from capbench.studies.judge import InvalidClaimError
from capbench.verdicts.claims import invalid


@pytest.mark.parametrize(
    ("values", "limits", "status", "said"),
    [
        ([0.1, 0.1], {"high": 0.1}, Status.SUPPORTED, ""),  # limits belong to what is allowed
        ([0.5, 0.6, 0.4], {"low": 0.25, "high": 0.75}, Status.SUPPORTED, ""),
        (
            [0.5, 0.6, 0.4],
            {"low": 0.8},
            Status.INVALID,
            "control failed: random neurons is 0.5 [0.252, 0.748], expected >= 0.8",
        ),
        (
            [0.5, 0.6, 0.4],
            {"low": 0.25, "high": 0.7},
            Status.INCONCLUSIVE,
            "control undecided: random neurons is 0.5 [0.252, 0.748], expected >= 0.25 and <= 0.7",
        ),
        (
            [1.0] * 5 + [0.0],
            {"low": 0.95},
            Status.INCONCLUSIVE,
            "control undecided: random neurons is 0.833 [0.405, 1.26]",
        ),
        ([0.2], {"high": 0.1}, Status.INVALID, "control failed: random neurons is 0.2, expected <= 0.1"),  # no interval
        ([0.1], {"high": 0.1}, Status.SUPPORTED, ""),
    ],
)
def test_a_control_decides_by_its_interval_over_seeds(
    values: list[float], limits: dict[str, float], status: Status, said: str
) -> None:
    """By hand: .5 ± 4.303 * .1 / sqrt(3); .8333 ± 2.571 * .4082 / sqrt(6). A claim whose control is open is open itself."""
    j = judge()
    j.control("random neurons", values, **limits)
    j.decide(PASSES)
    found = j.record()
    assert found.verdict.status is status
    assert found.verdict.reason.startswith(said)
    (control,) = found.controls
    assert (control.passed, control.undecided) == (status is Status.SUPPORTED, status is Status.INCONCLUSIVE)


@pytest.mark.parametrize(("verdict", "status"), [(FAILS, Status.INCONCLUSIVE), (invalid("no base"), Status.INVALID)])
def test_an_open_control_leaves_a_claim_open_but_makes_none_better(verdict: Any, status: Status) -> None:
    j = judge()
    j.control("random neurons", [0.0, 1.0], high=0.5)
    j.decide(verdict)
    found = j.record().verdict
    assert found.status is status
    assert (found.effect, found.margin) == (verdict.effect, verdict.margin)
    assert found.reason.endswith(verdict.reason)


def test_a_control_that_everything_hangs_on_ends_the_test_only_if_it_failed() -> None:
    j = judge()
    j.control("accuracy", [0.9, 1.0], low=0.8, otherwise="the base model does not know it")
    j.control("accuracy", [0.2, 0.3], high=0.8, otherwise="nothing to revive")
    with pytest.raises(
        InvalidClaimError, match=r"^nothing to revive: accuracy is 0\.95 \[0\.315, 1\.59\], expected <= 0\.2$"
    ):
        j.control("accuracy", [0.9, 1.0], high=0.2, otherwise="nothing to revive")
    assert len(j.record().controls) == 3


@given(
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6),
    st.floats(0.0, 1.0),
    st.integers(2, 4),
    st.sampled_from(["low", "high"]),
)
def test_more_seeds_that_agree_never_make_a_claim_invalid(
    values: list[float], limit: float, times: int, side: str
) -> None:
    """The same values again and again: a mean that is inside stays inside, however many seeds say so."""

    def status(values: list[float]) -> Status:
        j = judge()
        j.control("random neurons", values, **{side: limit})
        j.decide(PASSES)
        return j.record().verdict.status

    before, after = status(values), status(values * times)
    if before is Status.SUPPORTED:
        assert after is Status.SUPPORTED
    inside = fmean(values) >= limit if side == "low" else fmean(values) <= limit
    assert after is not Status.INVALID or not inside


def test_one_failed_control_among_several_is_enough() -> None:
    j = judge()
    j.control("first", [0.0], high=0.1)
    j.control("second", [0.5], high=0.1)
    j.control("third", [0.0, 0.2], high=0.1)  # open
    j.decide(PASSES)
    found = j.record()
    assert found.verdict.status is Status.INVALID
    assert "second" in found.verdict.reason
    assert [c.passed for c in found.controls] == [True, False, False]


@pytest.mark.parametrize(
    ("conditions", "status", "what"),
    [
        ((PASSES,), Status.SUPPORTED, "gain"),
        ((FAILS,), Status.REFUTED, "cost"),
        ((PASSES, FAILS), Status.REFUTED, "cost"),
        ((invalid("no base"), PASSES, FAILS), Status.INVALID, ""),
    ],
)
def test_all_conditions_must_hold(conditions: tuple[Any, ...], status: Status, what: str) -> None:
    j = judge()
    j.decide(*conditions)
    assert (j.record().verdict.status, j.record().verdict.what) == (status, what)


def test_a_judge_whose_models_could_not_be_made_has_none_and_says_why_when_it_measures() -> None:
    j = judge(seeds=(), blocked="method 'x' failed")
    assert j.models == {} and judge().models.keys() == {"one", "two"}
    with pytest.raises(InvalidClaimError, match=r"^method 'x' failed$"):
        j.measure(*readings_of_revival(j.models))
