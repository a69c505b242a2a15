"""The share of variants on which a claim holds: Wilson's interval by hand, and when too few could be put to the test."""

from __future__ import annotations

from math import sqrt

import pytest

from capbench.results import Status
from capbench.variants.judging import share_of

S, R, INC, INV = Status.SUPPORTED, Status.REFUTED, Status.INCONCLUSIVE, Status.INVALID
Z2 = 1.959964**2  # of all n the lower end is n / (n + z²), of none the upper one z² / (n + z²)
HALF = 0.246217  # 6 of 12: 1.96 sqrt(.25 / 12 + z² / 576) / (1 + z² / 12)


@pytest.mark.parametrize(
    ("counts", "effect", "interval"),
    [
        ({S: 12}, 1.0, (12 / (12 + Z2), 1.0)),  # .757
        ({S: 16}, 1.0, (16 / (16 + Z2), 1.0)),  # .806
        ({R: 12}, 0.0, (0.0, Z2 / (12 + Z2))),
        ({S: 6, R: 6}, 0.5, (0.5 - HALF, 0.5 + HALF)),
        # What stays open may hold or not.
        ({S: 6, R: 2, INC: 4}, 0.5, (0.5 - HALF, (10 + Z2 / 2 + sqrt(Z2) * sqrt(10 / 6 + Z2 / 4)) / (12 + Z2))),
        ({S: 6, INC: 6}, 0.5, (0.5 - HALF, 1.0)),
        ({INC: 12}, 0.0, (0.0, 1.0)),
        ({S: 6, R: 6, INV: 12}, 0.5, (0.5 - HALF, 0.5 + HALF)),  # what cannot be tested does not count
    ],
)
def test_the_interval_is_wilsons(counts: dict[Status, int], effect: float, interval: tuple[float, float]) -> None:
    found = share_of(counts, 0.4)
    assert found.effect == effect and found.ci == pytest.approx(interval, abs=1e-5)
    assert found.margin == pytest.approx(effect - 0.4)
    assert f"{counts.get(S, 0)} supported, {counts.get(R, 0)} refuted" in found.reason


@pytest.mark.parametrize(
    ("counts", "threshold", "status"),
    [
        ({S: 12}, 0.75, S),
        ({S: 12}, 0.76, INC),
        ({S: 16}, 0.8, S),
        ({S: 15}, 0.8, INC),
        ({S: 6, R: 6}, 0.74, INC),
        ({S: 6, R: 6}, 0.75, R),
        ({S: 1}, 0.2, S),
        ({INC: 12}, 0.5, INC),  # nothing is known, so nothing is refuted
        ({R: 12}, 0.5, R),
        ({R: 8, INC: 4}, 0.75, R),
    ],
)
def test_the_whole_interval_must_be_on_one_side(counts: dict[Status, int], threshold: float, status: Status) -> None:
    found = share_of(counts, threshold)
    assert found.status is status
    words = {S: "", INC: f"straddles the threshold {threshold}", R: f"below the threshold {threshold}"}
    assert words[status] in found.reason


@pytest.mark.parametrize(
    ("counts", "words"), [({S: 5, INV: 6}, "only 5 of 11"), ({INV: 3}, "only 0 of 3"), ({}, "only 0 of 0")]
)
def test_where_fewer_than_half_could_be_tested_the_share_is_invalid(counts: dict[Status, int], words: str) -> None:
    found = share_of(counts, 0.5)
    assert found.status is INV and found.effect is None and words in found.reason


def test_half_of_them_are_enough() -> None:
    assert share_of({S: 5, INV: 5}, 0.5).status is S


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({S: 12}, f"refuted on a share of 0.00 [0.00, {Z2 / (12 + Z2):.2f}]"),
        ({R: 6, S: 6}, f"refuted on a share of 0.50 [{0.5 - HALF:.2f}, {0.5 + HALF:.2f}]"),
        ({S: 6, INC: 6}, f"refuted on a share of 0.00 [0.00, {0.5 + HALF:.2f}]"),  # those that stay open may be of them
    ],
)
def test_the_share_of_refuted_ones_is_told_with_its_interval(counts: dict[Status, int], words: str) -> None:
    assert words in share_of(counts, 0.5).reason
