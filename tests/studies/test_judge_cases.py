"""A claim looked at on more seeds, the cases of a claim, and its line for pytest."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from fake_judge import CASE, GAIN, PASSES, STUDY, gives, judge, needs
from report_example import record

from capbench.results import Status
from capbench.studies.judge import Case, InvalidClaimError, Judge, outcome_line
from capbench.verdicts import looks
from capbench.verdicts.claims import at_least, invalid

# ---- more seeds


def looked_at(values: Sequence[float], threshold: float) -> Judge:
    """A claim on a quantity with these values, by seed, looked at until it is decided, as a test is run again and again."""
    j = judge(seeds=range(looks.SEEDS[0]), look=looks.look(0))
    while True:
        j.measure((gives({"gain": lambda seed: values[seed]}), ["one"]))
        j.control("the gain", j["gain"], low=-5)
        j.decide(at_least(j["gain"], threshold, "gain"))
        if not j.goes_on:
            return j
        number = j.look.number + 1
        more = range(len(j.steps), looks.SEEDS[number])
        j.look_again(looks.look(number), {seed: needs(STUDY, seed, CASE) for seed in more})


@pytest.mark.parametrize(
    ("values", "threshold", "seeds", "status"),
    [
        ([0.5, 0.52, 0.48], 0.2, 3, Status.SUPPORTED),
        ([0.5, 0.52, 0.48], 0.8, 3, Status.REFUTED),
        ([0.9, 0.1, *[0.5] * 6], 0.2, 8, Status.SUPPORTED),  # .5 ± 3.4 * .0756 at the third look
        ([0.9, 0.1] * 6, 0.5, 12, Status.INCONCLUSIVE),
    ],
)
def test_a_claim_is_looked_at_until_it_is_decided_and_tells_which_look_that_was(
    values: list[float], threshold: float, seeds: int, status: Status
) -> None:
    found = looked_at(values, threshold).record()
    assert (found.verdict.status, found.verdict.n_seeds, len(found.seeds)) == (status, seeds, seeds)
    assert len(found.measurements) == seeds and len(found.controls) == 1
    number = looks.SEEDS.index(seeds)
    assert found.verdict.alpha == looks.look(number).alpha
    assert found.verdict.how.endswith(looks.look(number).words)


def test_a_claim_that_is_not_to_be_looked_at_again_does_not_go_on() -> None:
    j = judge()
    j.decide(at_least([0.9, 0.1, 0.5], 0.5, "gain"))
    assert (j.record().verdict.status, j.goes_on) == (Status.INCONCLUSIVE, False)
    j = judge(look=looks.look(0))
    assert not j.goes_on  # nothing is decided
    j.invalidate("it failed")
    assert not j.goes_on


def test_further_models_that_cannot_be_made_block_the_claim() -> None:
    j = judge(look=looks.look(0))
    j.decide(at_least([0.9, 0.1, 0.5], 0.5, "gain"))
    j.look_again(looks.look(1), {}, blocked="method 'mine.py:tune' failed")
    with pytest.raises(InvalidClaimError, match=r"^method 'mine.py:tune' failed$"):
        j.measure((GAIN, ["one"]))


# ---- cases and the line for pytest


def test_a_case_is_read_by_attribute_and_as_a_test_id() -> None:
    assert (CASE.prior, CASE.c_tr, CASE.lr) == ("low", 1, "small")
    assert str(CASE) == repr(CASE) == "prior=low,c_tr=1,lr=small"
    assert CASE.parameters == {"prior": "low", "c_tr": 1, "lr": "small"}
    assert str(Case()) == ""


def test_a_parameter_that_a_case_has_not_is_named_with_those_it_has() -> None:
    with pytest.raises(AttributeError, match="this case has no 'rate'; it has prior, c_tr, lr"):
        _ = CASE.rate


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda case: pickle.loads(pickle.dumps(case))])
def test_a_case_can_be_copied_and_sent_to_another_process(copied: Callable[[Case], Case]) -> None:
    assert copied(CASE).parameters == CASE.parameters


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (PASSES, "wrapper.pruning[prior=low]: gain 0.75 [0.626, 0.874] >= 0.25: supported (margin +0.5)"),
        (invalid("no base"), "wrapper.pruning[prior=low]: invalid: no base"),
        (
            at_least([0.5], 0.25, "gain"),
            "wrapper.pruning[prior=low]: gain 0.5 >= 0.25: inconclusive (margin +0.25); one seed of gain, and no prior for its "
            "spread: no interval",
        ),
    ],
)
def test_the_outcome_is_one_line(verdict: Any, line: str) -> None:
    assert outcome_line(record(verdict=verdict)) == line
