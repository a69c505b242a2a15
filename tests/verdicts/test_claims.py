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
from capbench.verdicts.statistics import interval

Decide = Callable[..., Verdict]
SUPPORTED, REFUTED, INCONCLUSIVE, INVALID = Status.SUPPORTED, Status.REFUTED, Status.INCONCLUSIVE, Status.INVALID
seeds = st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=4)  # width 16: sums of them are exact
thresholds = st.floats(-2, 2, width=16)

# values per seed, threshold, status of 'at least', status of 'at most'
CASES = [
    ([0.5, 0.6, 0.7], 0.4, SUPPORTED, REFUTED),
    ([0.5, 0.6, 0.7], 0.8, REFUTED, SUPPORTED),
    ([0.5, 0.6, 0.7], 0.6, INCONCLUSIVE, INCONCLUSIVE),
    ([0.5, 0.625, 0.75], 0.5, SUPPORTED, INCONCLUSIVE),  # the lower end at the threshold
    ([0.5, 0.625, 0.75], 0.75, INCONCLUSIVE, SUPPORTED),  # the upper end at the threshold
    ([0.5, 0.5, 0.5], 0.5, SUPPORTED, SUPPORTED),
    ([0.5, 0.5, 0.5], 0.501, REFUTED, SUPPORTED),
    ([0.5, 0.5, 0.5], 0.499, SUPPORTED, REFUTED),
    ([0.5], 0.5, SUPPORTED, SUPPORTED),
    ([0.5], 0.51, REFUTED, SUPPORTED),
    ([0.5], 0.49, SUPPORTED, REFUTED),
    ([0.0, 1.0], 0.5, INCONCLUSIVE, INCONCLUSIVE),
    ([0, 1, 1], 0.0, SUPPORTED, INCONCLUSIVE),  # whole numbers are as good
    ([-0.5, -0.25], 0.0, REFUTED, SUPPORTED),
]


@pytest.mark.parametrize(("values", "threshold", "least", "most"), CASES)
def test_the_interval_against_the_threshold_decides(
    values: Sequence[float], threshold: float, least: Status, most: Status
) -> None:
    assert at_least(values, threshold, "gain").status is least
    assert at_most(values, threshold, "gain").status is most


def test_a_verdict_carries_effect_interval_threshold_margin_and_values() -> None:
    found = at_least([0.5, 0.75, 1.0], 0.25, "gain over random")
    assert found == Verdict(
        status=SUPPORTED,
        effect=0.75,
        ci=(0.5, 1.0),
        threshold=0.25,
        direction=">=",
        margin=0.5,
        n_seeds=3,
        per_seed=(0.5, 0.75, 1.0),
        what="gain over random",
        reason="",
    )


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
    low, high = interval(values) or (values[0], values[0])
    assert (found.status is SUPPORTED) == (low >= threshold)
    assert (found.status is REFUTED) == (high < threshold)
    assert (found.status is INCONCLUSIVE) == (low < threshold <= high)


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
        assert found.ci == pytest.approx((-mirror.ci[1], -mirror.ci[0]), abs=1e-3)
    if len(values) < 4:  # from four seeds on the ends lie between values, and mirrored draws are others
        assert found.status is mirror.status


@settings(max_examples=300, deadline=None)
@given(st.floats(-1, 1), st.integers(1, 7), st.sampled_from([at_least, at_most]))
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


@pytest.mark.parametrize(("threshold", "status"), [(0.4, SUPPORTED), (0.6, REFUTED)])
def test_one_seed_has_no_interval_and_says_so(threshold: float, status: Status) -> None:
    found = at_least([0.5], threshold, "gain")
    assert (found.status, found.ci, found.n_seeds) == (status, None, 1)
    assert found.reason.split("; ")[-1] == "one seed: no interval"


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


def test_an_interval_that_straddles_says_so_with_its_numbers() -> None:
    reason = at_least([0.25, 0.5, 0.75], 0.5, "gain over random").reason
    for part in ("[0.25, 0.75]", "gain over random", "0.5", "straddles"):
        assert part in reason


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (at_least([0.5, 0.75, 1.0], 1.25, "gain"), "gain is 0.75 [0.5, 1], 0.5 below the threshold 1.25"),
        (at_most([0.5, 0.75, 1.0], 0.25, "loss"), "loss is 0.75 [0.5, 1], 0.5 above the threshold 0.25"),
        (at_least([0.5], 0.75, "gain"), "gain is 0.5, 0.25 below the threshold 0.75; one seed: no interval"),
        (
            at_least([0.25, 1.0], 0.5, "gain"),
            "the interval [0.25, 1] of gain straddles the threshold 0.5; its mean, 0.625, is 0.125 above it",
        ),
        (
            at_most([0.25, 0.75], 0.5, "loss"),
            "the interval [0.25, 0.75] of loss straddles the threshold 0.5; its mean, 0.5, is at the threshold",
        ),
        (at_least([0.5, 0.75], 0.25, "gain"), ""),
    ],
)
def test_a_claim_that_is_not_supported_says_which_condition_failed_and_by_how_much(found: Verdict, reason: str) -> None:
    assert found.reason == reason


# ---- interval


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2, width=16), min_size=3, max_size=3))
def test_three_seeds_give_the_range(values: list[float]) -> None:
    assert interval(values) == (min(values), max(values))


@pytest.mark.parametrize("values", [[0.25, 0.5, 0.5], [0.5, 0.25, 0.5], [0.5, 0.5, 0.25]])
def test_the_order_of_the_seeds_does_not_matter(values: list[float]) -> None:
    assert interval(values) == (0.25, 0.5)


def test_many_seeds_give_the_interval_of_the_mean() -> None:
    values = [i / 40 for i in range(41)]  # mean 0.5, standard deviation 0.296, of the mean 0.0462: 0.5 ± 0.0905
    found = interval(values)
    assert found == pytest.approx((0.5 - 0.0905, 0.5 + 0.0905), abs=0.01)
    assert found == interval(values)


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6))
def test_the_interval_lies_within_the_range_and_around_the_middle(values: list[float]) -> None:
    found = interval(values)
    assert found is not None
    assert min(values) - 1e-12 <= found[0] <= found[1] <= max(values) + 1e-12


# ---- several conditions


def verdicts() -> dict[Status, Verdict]:
    return {
        SUPPORTED: at_least([0.5, 0.75, 1.0], 0.25, "gain"),
        INCONCLUSIVE: at_most([0.0, 0.5, 1.0], 0.25, "cost"),
        REFUTED: at_least([0.0, 0.125], 0.25, "speed-up"),
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
    first, second = at_least([0.5], 0.25, "gain"), at_least([1.0], 0.9375, "speed-up")
    assert all_of(first, second).what == "gain"
    assert all_of(second, first).what == "speed-up"
    assert "also gain 0.5 >= 0.25: supported (margin +0.25)" in all_of(second, first).reason
    assert all_of(first) == first


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (at_least([0.5, 0.75, 1.0], 0.25, "gain"), "gain 0.75 [0.5, 1] >= 0.25: supported (margin +0.5)"),
        (at_most([0.5], 0.25, "cost"), "cost 0.5 <= 0.25: refuted (margin -0.25)"),
        (invalid("no base"), "invalid: no base"),
    ],
)
def test_words_put_a_verdict_in_one_line(verdict: Verdict, line: str) -> None:
    assert words(verdict) == line
