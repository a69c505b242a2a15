"""Verdicts on values whose interval is known: what decides them, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_judge import STUDY, judge

from capbench.measure.language.scale import Score
from capbench.results import Measurement, Status
from capbench.studies.given_interval import of_interval
from capbench.studies.language import natural_claims


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ((0.9, (0.75, 0.95)), Status.SUPPORTED),
        ((0.9, (0.74, 0.95)), Status.INCONCLUSIVE),
        ((0.5, (0.4, 0.74)), Status.REFUTED),
        ((0.75, None), Status.SUPPORTED),
        ((0.74, None), Status.REFUTED),
        (None, Status.INVALID),
    ],
)
def test_the_whole_interval_decides_and_without_one_the_value(
    found: tuple[float, tuple[float, float] | None] | None, status: Status
) -> None:
    decided = of_interval(found, 0.75, "area", how="by hand", seeds=2, none="there is none", reason="and more")
    assert decided.status is status
    if found is None:
        assert (decided.effect, decided.ci, decided.reason) == (None, None, "there is none")
    else:
        assert decided.margin == pytest.approx(found[0] - 0.75) and decided.reason.endswith("and more")


@pytest.mark.parametrize(
    ("right", "status"),
    [(52, Status.SUPPORTED), (30, Status.INCONCLUSIVE), (13, Status.REFUTED)],  # of 54: .96, .56 and .24; chance is .25
)
def test_of_a_given_model_only_the_items_are_uncertain(
    monkeypatch: pytest.MonkeyPatch, right: int, status: Status
) -> None:
    """One seed decides: a second has the same model. Wilson's interval of 30 of 54 begins at .42, less than .2 above chance."""

    def ability(bench: Any, **models: Any) -> Iterator[Measurement]:
        accuracy = "natural.base.accuracy"
        low, high = Score(right=right, n=54).interval
        for name, value in (
            (accuracy, right / 54),
            (f"{accuracy}.low", low),
            (f"{accuracy}.high", high),
            ("natural.chance", 0.25),
        ):
            yield Measurement(name=name, value=value, unit="accuracy", n=54, seed=bench.seed)

    monkeypatch.setattr(natural_claims, "ability", ability)
    for seeds in [(0,), (0, 1, 2)]:
        asked = judge(seeds=seeds, steps={seed: {"base": STUDY.initialised(seed)} for seed in seeds})
        natural_claims.has(asked, above_chance=0.2)
        verdict = asked.record().verdict
        assert verdict.status is status and verdict.n_seeds == len(seeds) and not verdict.provisional
        assert verdict.effect == pytest.approx(right / 54 - 0.25)
