"""What a relabelling of outputs says beside a state: an honest sentence; where it suffices, the model is wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.results import CapabilityState, Measurement, RelabellingState
from capbench.verdicts.capability import Assessment, assess
from capbench.verdicts.relabelling import ACCURACY, CONSTANT, TWIN
from capbench.verdicts.tools import Tool, Toolbox

TOOL = Tool(name="tool", measured="tool.value", unit="share", present=0.8, absent=0.2, auc={"small": 1.0})
TOOLBOX = Toolbox(tools=(TOOL,), behaviour=("asked",))
WRAPPED, DELETED, UNDECIDED = 0.9, 0.1, 0.5  # what the tool reads
SUFFICES, MOSTLY = RelabellingState.SUFFICES, RelabellingState.MOSTLY
FOLLOWS, SHORT, DIFFERS = RelabellingState.FOLLOWS, RelabellingState.FALLS_SHORT, RelabellingState.DIFFERS
shares = st.floats(0, 1)


def judged(tool: float, *by_seed: tuple[float | None, ...], asked: float = 0.1) -> Assessment:
    """A model whose relabelling, twin and constant are given for each seed."""
    found = []
    for seed, row in enumerate(by_seed):
        values = {"asked": asked, TOOL.measured: tool, **dict(zip((ACCURACY, TWIN, CONSTANT), row, strict=False))}
        found += [Measurement(name=n, value=v, unit="accuracy", n=512, seed=seed) for n, v in values.items()]
    assessed = assess(found, TOOLBOX, scale="small")
    assert assessed is not None
    return assessed


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ((0.97, 0.23, 0.11), SUFFICES),
        ((0.90, 0.23, 0.11), SUFFICES),  # borders belong to 'kept' and to the model's own
        ((0.9375, 0.875, 0.11), SUFFICES),  # half of what the twin gets wrong
        ((0.94, 0.90, 0.11), FOLLOWS),
        ((0.94, 0.11, 0.90), FOLLOWS),  # nearly all strings have one answer
        ((1.00, 1.00, 0.27), FOLLOWS),  # as at C_Te 1, for any model that has learnt O_FT
        ((0.85, 0.23, 0.11), MOSTLY),
        ((0.61, 0.22, 0.11), MOSTLY),
        ((0.60, 0.22, 0.11), SHORT),
        ((0.23, 0.23, 0.11), SHORT),
        ((0.10, 0.23, 0.11), SHORT),
    ],
)
def test_enough_is_what_would_be_kept_and_own_what_the_twin_does_not_reach(
    row: tuple[float, ...], state: RelabellingState
) -> None:
    found = judged(WRAPPED, row).relabelling
    assert found is not None and found.state is state
    assert (found.value, found.twin, found.constant, found.per_seed) == (*row, {0: row[0]})


@pytest.mark.parametrize(
    ("tool", "row", "words"),
    [
        (WRAPPED, (0.85, 0.23, 0.11), "the wrapper is little more than that, as its answers alone show"),
        (WRAPPED, (0.97, 0.96, 0.11), "that follows from the task, and says nothing of the capability"),
        (WRAPPED, (0.30, 0.23, 0.11), "the wrapper is more than that"),
        (UNDECIDED, (0.85, 0.23, 0.11), "its answers still tell much of O_PT, under other names"),
        (DELETED, (0.97, 0.96, 0.11), "that follows from the task, and says nothing of the capability"),
    ],
)
def test_the_sentence_says_what_it_means_beside_the_state(tool: float, row: tuple[float, ...], words: str) -> None:
    plain, found = judged(tool, ()), judged(tool, row)
    figures = (
        f"a fixed relabelling of its answers recovers {row[0]:.2f} of O_PT (of a never-taught model's after the same method "
        f"{row[1]:.2f}; one answer for all {row[2]:.2f})"
    )
    assert found.reason == f"{plain.reason}; {figures}: {words}"


@pytest.mark.parametrize("tool", [DELETED, UNDECIDED])
def test_where_little_is_recovered_nothing_is_said_of_what_is_not_wrapped(tool: float) -> None:
    assert judged(tool, (0.30, 0.23, 0.11)).reason == judged(tool, ()).reason


def test_of_a_model_that_keeps_its_behaviour_it_says_nothing() -> None:
    found = judged(WRAPPED, (0.99, 0.23, 0.11), asked=0.95)
    assert (found.state, found.reason) == (CapabilityState.INTACT, "behaviour kept")


def test_over_seeds_states_are_counted_and_the_weaker_of_two_like_ones_stands() -> None:
    enough, nearly, little = (0.97, 0.2, 0.1), (0.85, 0.2, 0.1), (0.3, 0.2, 0.1)
    for rows, state in (
        ((enough, enough, enough), SUFFICES),
        ((enough, nearly, enough), MOSTLY),
        ((enough, little, enough), DIFFERS),
        ((enough,) * 4 + (little,), SUFFICES),
    ):
        found = judged(WRAPPED, *rows).relabelling
        assert found is not None and found.state is state
        assert found.value == pytest.approx(sum(accuracy for accuracy, *_ in rows) / len(rows))
    assert judged(WRAPPED, enough, little).reason.endswith(": whether that is enough differs by seed")


@pytest.mark.parametrize("row", [(), (0.97,), (0.97, None, 0.11), (None, 0.23, 0.11)])
def test_without_its_controls_it_is_missing(row: tuple[float | None, ...]) -> None:
    found = judged(WRAPPED, row)
    assert found.relabelling is None and "relabelling" not in found.reason
    assert judged(WRAPPED, row, (0.97, 0.23, 0.11)).relabelling == judged(WRAPPED, (), (0.97, 0.23, 0.11)).relabelling


@given(st.sampled_from([WRAPPED, DELETED, UNDECIDED]), shares, shares, shares)
def test_it_decides_where_it_suffices_and_has_no_vote_else(
    tool: float, accuracy: float, twin: float, constant: float
) -> None:
    plain, found = judged(tool, ()), judged(tool, (accuracy, twin, constant))
    assert found.relabelling is not None and found.evidence == plain.evidence
    enough = found.relabelling.state is SUFFICES
    assert found.state is (CapabilityState.WRAPPED if enough else plain.state)


@pytest.mark.parametrize("tool", [WRAPPED, DELETED, UNDECIDED])
def test_what_the_answers_alone_show_is_wrapped_whatever_the_tool_says(tool: float) -> None:
    found = judged(tool, (0.97, 0.23, 0.11))
    assert found.state is CapabilityState.WRAPPED
    assert found.reason.startswith("behaviour gone, but the answers still give it away: behaviour absent, tool ")
    assert found.reason.endswith(": the wrapper is no more than that, as its answers alone show")


RANK = {SHORT: 0, FOLLOWS: 0, MOSTLY: 1, SUFFICES: 2}


@given(shares, shares, shares, shares)
def test_the_better_the_twin_does_the_less_is_the_model_s_own(a: float, b: float, accuracy: float, c: float) -> None:
    low, high = sorted((a, b))
    less, more = (judged(WRAPPED, (accuracy, twin, c)).relabelling for twin in (high, low))
    assert less is not None and more is not None and RANK[less.state] <= RANK[more.state]
