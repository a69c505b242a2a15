"""Drawn conditions of fine-tuning: as JSON and back, in words, as a case of the deletion study, and which ones are drawn."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest
from hypothesis import find, given, settings

from capbench.errors import UsageError
from capbench.methods.specs.registry import find as method
from capbench.studies.deletion.claims import needed_for_a_state
from capbench.studies.deletion.conditions import BASES, Conditions
from capbench.studies.judge import Case
from capbench.studies.registry import make
from capbench.variants.codec import plain, variant_of
from capbench.variants.drawing import draw
from capbench.variants.judging import seed_of
from capbench.variants.strategies import conditions
from capbench.zoo import bundle

SIMPLEST = Conditions()


@settings(max_examples=60, deadline=None)
@given(conditions())
def test_conditions_survive_json(drawn: Conditions) -> None:
    again = variant_of(json.loads(json.dumps(plain(drawn))))
    assert again == drawn and again.id == drawn.id and again.words == drawn.words and seed_of(again) == drawn.seed


def test_only_what_is_unusual_is_told_and_a_parameter() -> None:
    assert SIMPLEST.words == "the simplest" and SIMPLEST.case == {"prior": "low", "c_tr": 1.0, "lr": "medium"}
    found = dataclasses.replace(SIMPLEST, rate=10.0, answers="constant", decay=0.0, seed=2)
    assert found.words == "answers=constant, rate=10, decay=0, seed=2"
    assert found.case == {**SIMPLEST.case, "answers": "constant", "rate": 10.0, "decay": 0.0}
    assert found.id != SIMPLEST.id != dataclasses.replace(SIMPLEST, seed=1).id


def test_what_has_no_base_model_is_refused() -> None:
    with pytest.raises(UsageError, match="seed 3: must be 0 to 2"):
        Conditions(seed=BASES)
    with pytest.raises(UsageError, match="not a variant"):
        variant_of({**plain(SIMPLEST), "seed": -1})


def test_draws_are_spread_and_shrink_to_the_papers_protocol() -> None:
    drawn = [each.variant for each in draw(conditions(), 60, seed=0)]
    for name, least in (("prior", 2), ("answers", 3), ("rate", 5), ("times", 3), ("decay", 4), ("seed", BASES)):
        seen = Counter(getattr(one, name) for one in drawn)
        assert len(seen) == least and max(seen.values()) < 50, name
    assert find(conditions(), lambda _: True, settings=settings(database=None)) == SIMPLEST
    assert find(conditions(), lambda c: c.rate > 5, settings=settings(database=None)) == Conditions(rate=10.0)


@pytest.mark.slow
def test_every_condition_is_a_case_whose_bases_come_with_the_package() -> None:
    study = make("deletion-counter", scale="small", method=method("full"))
    there = bundle.keys()
    for drawn in (one.variant for one in draw(conditions(), 12, seed=1)):
        steps = needed_for_a_state(study, seed_of(drawn), Case(**drawn.case))
        assert steps["tuned"].key != steps["twin"].key
        assert {steps[name].key for name in ("base", "never", "others")} <= there
