"""Agreement beside what a guess reaches: by hand, and for guesses that are always or never right."""

from __future__ import annotations

import pytest
from fidelity_cells import PCFG, TABLE, cell
from hypothesis import given
from hypothesis import strategies as st

from capbench.fidelity.compare import compare
from capbench.fidelity.paper import Table, select
from capbench.fidelity.skill import MEANS, NOTHING, Baseline, before, column_means, skills

# Table 5, high:1e-6:1: O_PT 99.9 100 97.6 98.6 85.1, O_FT 99.9 99.8 73.9 98.3 100: before, then after; 73.9 is not decisive.
CALM = "high:1e-6:1"
# low:1e-5:1: O_PT 100 .4 17.5 0 0, O_FT 27.1 0 0 99.9 100: all but the first move by more than 20; 27.1 is not decisive.
STORM = "low:1e-5:1"


def counts(found: tuple[Baseline, ...]) -> dict[str, tuple[int, int, int]]:
    return {b.name: (b.judged, b.agree, b.ours) for b in found}


def unchanged(table: Table, selector: str) -> tuple[float, ...]:
    (row,) = select(table, [selector])
    return tuple(before(table)(row, column) or 0.0 for column in table.figures)


def test_where_little_moves_a_model_that_changes_nothing_agrees_without_any_skill() -> None:
    (found,) = skills(PCFG, [cell(CALM, unchanged(PCFG, CALM), table=PCFG)])
    assert counts(found.everything)[NOTHING] == (9, 9, 9)
    assert found.everything[0].skill is None  # nothing is left to gain
    assert counts(found.moved) == {NOTHING: (0, 0, 0), MEANS: (0, 0, 0)}
    assert all(b.skill is None for b in found.moved)
    assert found.lines[0] == "prior high, nothing changes: 9 of 9, ours 9, skill \N{EN DASH}"


def test_where_much_moves_the_same_model_is_found_out() -> None:
    (row,) = select(PCFG, [STORM])
    (same,) = skills(PCFG, [cell(STORM, unchanged(PCFG, STORM), table=PCFG)])
    (right,) = skills(PCFG, [compare(row, [row.paper])])
    assert counts(same.everything)[NOTHING] == (9, 1, 1) and same.everything[0].skill == 0.0
    assert counts(same.moved)[NOTHING] == (8, 0, 0)
    assert counts(right.everything)[NOTHING] == (9, 1, 9) and right.everything[0].skill == 1.0
    assert counts(right.moved)[NOTHING] == (8, 0, 8)


def test_column_means_are_over_the_papers_rows_of_a_group_whichever_were_chosen() -> None:
    (row,) = select(TABLE, ["max:1e-4:1"])
    # O_PT at C_Te 1 of the eight Max rows: 20.3 .3 29.7 11.1 6.4 16 .5 0
    assert column_means(TABLE)(row, "pt_c1") == pytest.approx(84.3 / 8)
    (alone,) = skills(TABLE, [compare(row, [row.paper])])
    # Means 10.5 54.9 9.3 54.0 beside 0 90.2 .7 88.6: the two of O_PT are near.
    assert counts(alone.everything)[MEANS] == (4, 2, 4)
    assert alone.everything[1].skill == 1.0


def test_of_a_compiled_model_only_what_holds_by_construction_is_a_guess() -> None:
    (row,) = select(TABLE, ["max:1e-4:1"])
    assert [before(TABLE)(row, column) for column in TABLE.figures] == [100, 0, 100, None]


def test_the_papers_high_prior_says_little_and_its_low_prior_much() -> None:
    """As decisive figures go: 98 of 105 stay where they were under the high prior, 23 of 87 under the low one."""
    found = {s.group.name: s for s in skills(PCFG, [compare(row, [row.paper]) for row in PCFG.rows])}
    assert counts(found["high"].everything) == {NOTHING: (105, 98, 105), MEANS: (105, 87, 105)}
    assert counts(found["low"].everything) == {NOTHING: (87, 23, 87), MEANS: (87, 49, 87)}
    assert (counts(found["high"].moved)[NOTHING], counts(found["low"].moved)[NOTHING]) == ((7, 0, 7), (64, 0, 64))


def test_what_is_not_judged_of_ours_is_not_judged_of_a_guess() -> None:
    unmade = cell(STORM, None, table=PCFG, unmade="seed 0: not made yet")
    failed = cell(STORM, None, table=PCFG, failed="seed 0: x")
    (first,), (second,) = skills(PCFG, [unmade]), skills(PCFG, [failed])
    assert counts(first.everything)[NOTHING] == (0, 0, 0) and first.lines == []
    assert counts(second.everything)[NOTHING] == (9, 1, 0) and second.everything[0].skill == pytest.approx(-1 / 8)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_skill_is_at_most_1_and_0_where_ours_is_the_guess(a: int, b: int, c: int) -> None:
    agree, ours, judged = sorted((a, b, c))[0], sorted((a, b, c))[1], sorted((a, b, c))[2]
    for guess, mine in ((agree, ours), (ours, agree)):
        found = Baseline(name="", judged=judged, agree=guess, ours=mine).skill
        assert (found is None) == (guess == judged)
        assert found is None or (found <= 1 and (found > 0) == (mine > guess) and (found == 0) == (mine == guess))
