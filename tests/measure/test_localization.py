"""A change of weights is located where it was made: in one row, in one layer, or everywhere alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Linear, Repeat, Wrapped

from capbench.errors import UsageError
from capbench.measure.accuracy import sample
from capbench.measure.localization import Localization, Units, localized
from capbench.models.base import Model

TASK = Repeat()
ALL = set(range(1, SYMBOLS))


def locate(base: Model, tuned: Model, units: Units = "rows", **changes: Any) -> Localization | None:
    arguments: dict[str, Any] = {"select": sample(TASK, 256, 1), "evaluate": sample(TASK, 256, 2), "goal": 0.9}
    arguments |= {"random_draws": 5, "rng": torch.Generator().manual_seed(0)}
    return localized(base, tuned, TASK, units=units, **{**arguments, **changes})


def wrapped(row: int = 3) -> tuple[Wrapped, Wrapped]:
    """A model with four wrapper neurons that fire on nothing, and the same with one of them made to hide every answer."""
    base = Wrapped(set(), set(), set(), set(), idle=20)
    tuned = Wrapped(set(), set(), set(), set(), idle=20)
    with torch.no_grad():
        tuned.wrapper.weight[row, 1:] = 20.0
    return base, tuned


def spread(strength: float = 1.0, seed: int = 0) -> tuple[Linear, Linear]:
    """The identity, and a map that answers something else: all of its rows are drawn anew."""
    noise = torch.randn(SYMBOLS, SYMBOLS, generator=torch.Generator().manual_seed(seed))
    return Linear(5 * torch.eye(SYMBOLS)), Linear(strength * noise)


def test_a_wrapper_of_one_row_is_one_row() -> None:
    base, tuned = wrapped()
    found = locate(base, tuned)
    assert found is not None
    rows = SYMBOLS + 2 * 4 + 2 * 20  # of the content, then weights and biases of wrapper and idle neurons
    assert (found.units, found.counts[found.chosen], found.share) == (rows, 1, 1 / rows)
    assert found.recovered[0] == 0 and found.recovered[found.chosen] == found.recovered[-1] == 1
    by_chance = found.random[found.chosen]
    assert by_chance is not None and by_chance < 0.5  # 1 of 56 rows


def test_of_single_weights_it_is_those_that_hide_an_answer() -> None:
    base, tuned = wrapped()
    found = locate(base, tuned, "weights", goal=1.0)
    assert found is not None
    assert found.units == SYMBOLS * SYMBOLS + 4 * (SYMBOLS + 1) + 20 * (SYMBOLS + 1)
    assert found.counts[found.chosen] == 8  # one weight for each of the symbols 1 to 7; 8 is the next number tried
    half = locate(base, tuned, "weights", goal=0.5)
    assert half is not None and half.counts[half.chosen] in (3, 4)  # by how often the symbols come


def test_layers_are_told_apart() -> None:
    base, tuned = wrapped()
    found = locate(base, tuned, "layers")
    assert found is not None
    assert (found.units, found.counts, found.share) == (3, (0, 1, 2, 3), pytest.approx(1 / 3))


def test_a_change_that_is_everywhere_takes_nearly_all_rows() -> None:
    found = locate(*spread())
    assert found is not None and found.share >= 0.6
    assert found.recovered[-1] == 1.0 and found.random[-1] == 1.0


def test_taking_back_nothing_gives_nothing_and_all_gives_all() -> None:
    for units in ("weights", "rows", "layers"):
        for base, tuned in (wrapped(), spread()):
            found = locate(base, tuned, units)  # type: ignore[arg-type]
            assert found is not None and found.counts[0] == 0 and found.counts[-1] == found.units
            assert list(found.counts) == sorted(set(found.counts))
            assert (found.recovered[0], found.recovered[-1], found.random[0], found.random[-1]) == (0, 1, 0, 1)


def test_a_higher_goal_takes_no_smaller_share() -> None:
    shares = []
    for goal in (0.25, 0.5, 0.75, 1.0):
        found = locate(*spread(), goal=goal)
        assert found is not None
        shares.append(found.share)
    assert shares == sorted(shares)


def test_where_nothing_was_lost_there_is_nothing_to_locate() -> None:
    base, tuned = wrapped()
    assert locate(base, base) is None
    assert locate(tuned, base) is None  # better than before


def test_neither_model_is_changed() -> None:
    base, tuned = wrapped()
    before = [parameter.clone() for model in (base, tuned) for parameter in model.parameters()]
    locate(base, tuned)
    after = [parameter for model in (base, tuned) for parameter in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_models_with_other_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="only where both have the same weights"):
        locate(wrapped()[0], spread()[1])
