"""From values per seed to a verdict: status at and around the threshold, interval, margin, and several conditions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.results import Status, Verdict
from capbench.verdicts.claims import all_of, at_least, at_most, invalid, words
from capbench.verdicts.effects import Effect

Decide = Callable[..., Verdict]
SUPPORTED, REFUTED, INCONCLUSIVE, INVALID = Status.SUPPORTED, Status.REFUTED, Status.INCONCLUSIVE, Status.INVALID
seeds = st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=4)  # width 16: sums of them are exact
thresholds = st.floats(-2, 2, width=16)

# values per seed, threshold, status of 'at least', status of 'at most'; the t interval of .5, .6, .7 is .6 ± 4.303 * .1 / sqrt(3)
CASES = [
    ([0.5, 0.6, 0.7], 0.35, SUPPORTED, REFUTED),
    ([0.5, 0.6, 0.7], 0.36, INCONCLUSIVE, INCONCLUSIVE),
    ([0.5, 0.6, 0.7], 0.84, INCONCLUSIVE, INCONCLUSIVE),
    ([0.5, 0.6, 0.7], 0.85, REFUTED, SUPPORTED),
    ([0.5, 0.6, 0.7], 0.6, INCONCLUSIVE, INCONCLUSIVE),
    ([0.5, 0.5, 0.5], 0.5, SUPPORTED, SUPPORTED),
    ([0.5, 0.5, 0.5], 0.501, REFUTED, SUPPORTED),
    ([0.5, 0.5, 0.5], 0.499, SUPPORTED, REFUTED),
    ([0.5], 0.1, INCONCLUSIVE, INCONCLUSIVE),  # one seed: no spread is known
    ([0.0, 1.0], 0.5, INCONCLUSIVE, INCONCLUSIVE),
    ([0, 1, 1], -1.0, SUPPORTED, REFUTED),  # whole numbers are as good
    ([-0.5, -0.49], 0.0, REFUTED, SUPPORTED),
]


@pytest.mark.parametrize(("values", "threshold", "least", "most"), CASES)
def test_the_interval_against_the_threshold_decides(
    values: Sequence[float], threshold: float, least: Status, most: Status
) -> None:
    assert at_least(values, threshold, "gain").status is least
    assert at_most(values, threshold, "gain").status is most


def test_a_verdict_carries_effect_interval_threshold_margin_and_values() -> None:
    found = at_least([0.5, 0.75, 1.0], 0.0, "gain over random")
    assert found.ci == pytest.approx((0.75 - 4.3027 * 0.25 / 3**0.5, 0.75 + 4.3027 * 0.25 / 3**0.5), abs=1e-4)
    assert found.p_supported == pytest.approx(0.0175, abs=2e-4)  # t = .75 / (.25 / sqrt(3)) = 5.196 with 2 df
    assert found.p_refuted == pytest.approx(1 - 0.0175, abs=2e-4)
    assert (found.status, found.effect, found.threshold, found.margin) == (SUPPORTED, 0.75, 0.0, 0.75)
    assert (found.direction, found.n_seeds, found.per_seed) == (">=", 3, (0.5, 0.75, 1.0))
    assert (found.what, found.reason, found.how) == ("gain over random", "", "t, 3 seeds, 2 df, no prior")
    assert not found.provisional


@pytest.mark.parametrize(
    ("decide", "threshold", "margin"),
    [(at_least, 0.25, 0.5), (at_least, 1.25, -0.5), (at_most, 1.25, 0.5), (at_most, 0.25, -0.5), (at_most, 0.75, 0)],
)
def test_the_margin_is_positive_on_the_claim_s_side(decide: Decide, threshold: float, margin: float) -> None:
    assert decide([0.5, 0.75, 1.0], threshold, "gain").margin == margin


@settings(deadline=None)  # importing scipy takes a while
@given(seeds, thresholds)
def test_supported_if_and_only_if_the_whole_interval_holds(values: list[float], threshold: float) -> None:
    found = at_least(values, threshold, "gain")
    if found.ci is None:
        assert (found.status, found.n_seeds) == (INCONCLUSIVE, 1)
        return
    low, high = found.ci
    near = min(abs(low - threshold), abs(high - threshold)) < 1e-9
    assert near or (found.status is SUPPORTED) == (low >= threshold)
    assert near or (found.status is REFUTED) == (high < threshold)


@settings(deadline=None)  # importing scipy takes a while
@given(seeds, thresholds)
def test_at_most_mirrors_at_least(values: list[float], threshold: float) -> None:
    found, mirror = at_most(values, threshold, "gain"), at_least([-v for v in values], -threshold, "gain")
    assert found.effect is not None
    assert mirror.effect is not None
    assert (found.direction, mirror.direction) == ("<=", ">=")
    assert (found.margin, found.effect) == (mirror.margin, -mirror.effect)
    assert (found.ci is None) == (mirror.ci is None) == (len(values) == 1)
    if found.ci and mirror.ci:
        assert found.ci == pytest.approx((-mirror.ci[1], -mirror.ci[0]))
    assert found.status is mirror.status


@settings(max_examples=100, deadline=None)
@given(st.floats(-1, 1), st.integers(2, 7), st.sampled_from([at_least, at_most]))
def test_seeds_that_agree_on_the_threshold_support_the_claim_with_no_margin(
    value: float, n: int, decide: Decide
) -> None:
    found = decide([value] * n, value, "gain")
    assert (found.status, found.effect, found.margin) == (SUPPORTED, value, 0)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.floats(-1, 1), st.sampled_from([at_least, at_most]))
@settings(max_examples=60, deadline=None)
def test_margin_and_status_never_contradict_each_other(values: list[float], threshold: float, decide: Decide) -> None:
    found = decide(values, threshold, "gain")
    assert not (found.status is SUPPORTED and found.margin < -1e-12)
    assert not (found.status is REFUTED and found.margin >= 0)


# ---- one seed, none, and what is no number


def test_one_seed_without_a_prior_decides_nothing_and_says_so() -> None:
    found = at_least([0.5], 0.4, "gain")
    assert (found.status, found.ci, found.n_seeds, found.provisional) == (INCONCLUSIVE, None, 1, True)
    assert found.reason == "one seed of gain, and no prior for its spread: no interval"


@pytest.mark.parametrize("decide", [at_least, at_most])
def test_nothing_measured_is_invalid(decide: Decide) -> None:
    found = decide([], 0.5, "gain over random")
    assert (found.status, found.n_seeds) == (INVALID, 0)
    assert "gain over random" in found.reason
    assert found.effect is found.ci is found.margin is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("others", [[], [0.5], [0.5, 0.75]])
def test_values_that_are_no_numbers_are_refused_by_name(bad: float, others: list[float]) -> None:
    for values in ([bad, *others], [*others, bad], [bad, bad, *others]):
        with pytest.raises(ValueError, match="gain over random must be a finite number"):
            at_least(values, 0.5, "gain over random")


def test_an_invalid_claim_has_a_reason_and_nothing_else() -> None:
    found = invalid("the base model never learnt it")
    assert (found.status, found.reason) == (INVALID, "the base model never learnt it")
    assert found.effect is found.ci is found.threshold is found.margin is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (at_least([0.5, 0.75, 1.0], 1.5, "gain"), "gain is 0.75 [0.129, 1.37], 0.75 below the threshold 1.5"),
        (at_most([0.5, 0.75, 1.0], 0.0, "loss"), "loss is 0.75 [0.129, 1.37], 0.75 above the threshold 0"),
        (
            at_least([0.25, 1.0], 0.5, "gain"),
            "the interval [-4.14, 5.39] of gain straddles the threshold 0.5; its mean, 0.625, is 0.125 above it",
        ),
        (
            at_most([0.25, 0.75], 0.5, "loss"),
            "the interval [-2.68, 3.68] of loss straddles the threshold 0.5; its mean, 0.5, is at the threshold",
        ),
        (at_least([0.5, 0.5], 0.25, "gain"), ""),
    ],
)
def test_a_claim_that_is_not_supported_says_which_condition_failed_and_by_how_much(found: Verdict, reason: str) -> None:
    assert found.reason == reason


# ---- several conditions


def verdicts() -> dict[Status, Verdict]:
    return {
        SUPPORTED: at_least([0.5, 0.75, 1.0], 0.0, "gain"),
        INCONCLUSIVE: at_most([0.0, 0.5, 1.0], 0.25, "cost"),
        REFUTED: at_least([0.0, 0.001], 0.25, "speed-up"),
        INVALID: invalid("control failed"),
    }


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_worst_condition_is_shown_and_the_others_stand_in_the_reason(n: int) -> None:
    order = [INVALID, REFUTED, INCONCLUSIVE, SUPPORTED]
    for statuses in itertools.permutations(order, n):
        parts = [verdicts()[status] for status in statuses]
        found, worst = all_of(*parts), verdicts()[min(statuses, key=order.index)]
        assert (found.status, found.effect, found.margin) == (worst.status, worst.effect, worst.margin)
        assert found.reason.startswith(worst.reason)
        for part in parts:
            assert (f"also {words(part)}" in found.reason) == (part.status is not worst.status)


def test_of_equally_good_conditions_the_first_is_shown() -> None:
    first, second = at_least([0.5, 0.5], 0.25, "gain"), at_least([1.0, 1.0], 0.9375, "speed-up")
    assert all_of(first, second).what == "gain"
    assert all_of(second, first).what == "speed-up"
    assert "also gain 0.5 [0.5, 0.5] >= 0.25: supported (margin +0.25)" in all_of(second, first).reason
    assert all_of(first) == first


def test_a_part_refutes_only_at_its_share_of_alpha_and_supports_at_the_whole() -> None:
    part = at_least([0.5, 0.75, 1.0], 1.5, "gain")  # p = .0175
    assert part.p_refuted == pytest.approx(0.0175, abs=2e-4)
    other = at_most([0.1, 0.1, 0.1], 0.2, "cost")
    assert all_of(part).status is REFUTED
    found = all_of(part, other)
    assert found.status is INCONCLUSIVE
    assert (
        "gain alone would be refuted (p = 0.018), but as one of 2 conditions its p must be at most 0.013"
        in found.reason
    )
    held = at_least([0.5, 0.75, 1.0], 0.0, "gain")
    assert all_of(held, held, held).status is SUPPORTED


# ---- values that are bounds


def test_a_bound_speaks_for_its_own_side_only() -> None:
    lower = Effect([9.0, 10.0, 11.0], bounds=["", ">=", ""])
    assert at_least(lower, 2, "speed-up").status is SUPPORTED
    assert at_least(lower, 20, "speed-up").status is INCONCLUSIVE  # the true value may be above
    assert at_most(lower, 20, "speed-up").status is INCONCLUSIVE
    assert at_most(lower, 2, "speed-up").status is REFUTED
    upper = Effect([0.9, 1.0, 1.1], bounds=["<=", "", ""])
    assert at_least(upper, 2, "speed-up").status is REFUTED
    assert at_least(upper, 0.1, "speed-up").status is INCONCLUSIVE
    assert "1 of 3 values are bounds" in at_least(upper, 2, "speed-up").reason


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (at_least([0.75, 0.75], 0.25, "gain"), "gain 0.75 [0.75, 0.75] >= 0.25: supported (margin +0.5)"),
        (at_most([0.5], 0.25, "cost"), "cost 0.5 <= 0.25: inconclusive (margin -0.25)"),
        (invalid("no base"), "invalid: no base"),
    ],
)
def test_words_put_a_verdict_in_one_line(verdict: Verdict, line: str) -> None:
    assert words(verdict) == line
