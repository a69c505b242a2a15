"""The claim that a model is in a state: supported, refuted or left open by the state counted over its seeds."""

from __future__ import annotations

import pytest

from capbench.results import CapabilityState, Status
from capbench.verdicts.claims import state_is, state_is_not, words

INTACT, WRAPPED, DELETED = CapabilityState.INTACT, CapabilityState.WRAPPED, CapabilityState.DELETED
DESTROYED, UNDECIDED = CapabilityState.DESTROYED, CapabilityState.UNDECIDED

# the states of the seeds, what they come to, and for the claim `wrapped`: status, effect, value of each seed
CASES = [
    ([WRAPPED] * 3, WRAPPED, Status.SUPPORTED, 1.0, (1.0, 1.0, 1.0)),
    ([WRAPPED, UNDECIDED, WRAPPED], WRAPPED, Status.SUPPORTED, 1.0, (1.0, None, 1.0)),
    ([WRAPPED] * 4 + [INTACT], WRAPPED, Status.SUPPORTED, 0.8, (1.0, 1.0, 1.0, 1.0, 0.0)),
    ([INTACT] * 3, INTACT, Status.REFUTED, 0.0, (0.0, 0.0, 0.0)),
    ([DELETED], DELETED, Status.REFUTED, 0.0, (0.0,)),
    ([DESTROYED, DESTROYED], DESTROYED, Status.REFUTED, 0.0, (0.0, 0.0)),
    ([WRAPPED, INTACT, WRAPPED, INTACT], UNDECIDED, Status.INCONCLUSIVE, 0.5, (1.0, 0.0, 1.0, 0.0)),
    ([WRAPPED, UNDECIDED, UNDECIDED], UNDECIDED, Status.INCONCLUSIVE, 1.0, (1.0, None, None)),
    ([UNDECIDED] * 2, UNDECIDED, Status.INCONCLUSIVE, None, (None, None)),
]


@pytest.mark.parametrize(("states", "found", "status", "effect", "per_seed"), CASES)
def test_the_state_over_seeds_decides_and_the_effect_is_the_share_of_decided_seeds(
    states: list[CapabilityState],
    found: CapabilityState,
    status: Status,
    effect: float | None,
    per_seed: tuple[float | None, ...],
) -> None:
    verdict = state_is(found, dict(enumerate(states)), WRAPPED, "why")
    assert (verdict.status, verdict.effect, verdict.per_seed) == (status, effect, per_seed)
    assert (verdict.threshold, verdict.direction, verdict.ci, verdict.n_seeds) == (0.8, ">=", None, len(states))
    assert verdict.margin == (None if effect is None else effect - 0.8)
    assert verdict.provisional is (len(states) == 1)


def test_the_reason_is_the_sentence_of_the_state() -> None:
    intact = state_is(INTACT, {0: INTACT, 1: INTACT}, WRAPPED, "behaviour kept")
    assert intact.reason == "intact: behaviour kept"
    assert words(intact) == "share of decided seeds that are wrapped 0 >= 0.8: refuted (margin -0.8)"
    undecided = state_is(UNDECIDED, {0: UNDECIDED}, WRAPPED, "the tools disagree")
    assert words(undecided) == "inconclusive: undecided: the tools disagree"


@pytest.mark.parametrize(
    ("states", "found", "status", "effect"),
    [
        ([WRAPPED], WRAPPED, Status.SUPPORTED, 1.0),
        ([INTACT, DESTROYED], DESTROYED, Status.SUPPORTED, 1.0),
        ([DELETED], DELETED, Status.REFUTED, 0.0),
        ([DELETED, DELETED, WRAPPED], UNDECIDED, Status.INCONCLUSIVE, 1 / 3),
        ([UNDECIDED], UNDECIDED, Status.INCONCLUSIVE, None),
    ],
)
def test_a_state_that_is_excluded_alone_refutes(
    states: list[CapabilityState], found: CapabilityState, status: Status, effect: float | None
) -> None:
    verdict = state_is_not(found, dict(enumerate(states)), DELETED, "why")
    assert verdict.status is status and verdict.what == "share of decided seeds that are not deleted"
    assert verdict.effect == (None if effect is None else pytest.approx(effect)) and verdict.reason == f"{found}: why"
