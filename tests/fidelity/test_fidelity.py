"""The paper's tables beside ours: the data, the choice of rows, and what agrees. Nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fidelity_cells import NAMES, PCFG, STORIES, TABLE, cell

from capbench.errors import UsageError
from capbench.fidelity.compare import Figure, Gap, compare, scores
from capbench.fidelity.known import TABLES, load
from capbench.fidelity.paper import Row, Table, select
from capbench.methods.specs.registry import find
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.registry import make
from capbench.studies.tracr import preset as tracr


def figure(paper: float, *per_seed: float | None, gap: Gap | None = None) -> Figure:
    return Figure(name="pt_c1", paper=paper, per_seed=per_seed, gap=gap)


# ---- the table


def decisive(table: Table) -> dict[str, int]:
    """By hand: figures below 20 or above 80."""
    groups = dict.fromkeys(row.group.name for row in table.rows)
    return {
        group: sum(not 20 <= x <= 80 for row in table.rows if row.group.name == group for x in row.paper.values())
        for group in groups
    }


def test_table_3_is_the_papers() -> None:
    assert len(TABLE.rows) == 24 and "2311.12786, Table 3" in TABLE.source
    rows = {row.id: tuple(row.paper.values()) for row in TABLE.rows}
    assert len(rows) == 24 and NAMES == ("pt_c1", "ft_c1", "pt_c0", "ft_c0")
    # Read off the paper by hand: a first row, a last one, and some between.
    assert rows["counter:1e-1:0"] == (0.0, 100.0, 0.0, 100.0)
    assert rows["counter:1e-3:0.5"] == (7.1, 90.9, 19.8, 2.3)
    assert rows["counter:1e-2:1"] == (0.3, 98.3, 4.2, 0.2)
    assert rows["max:1e-1:0"] == (20.3, 34.5, 0.0, 99.3)
    assert rows["max:1e-4:1"] == (0.0, 90.2, 0.7, 88.6)


def test_table_5_is_the_papers() -> None:
    assert len(PCFG.rows) == 24 and "2311.12786, Table 5" in PCFG.source
    rows = {row.id: tuple(row.paper.values()) for row in PCFG.rows}
    assert len(rows) == 24 and tuple(PCFG.figures) == (
        *("pt_pretrained", "pt_c0_1k", "pt_c0_10k", "pt_c1_1k", "pt_c1_10k"),
        *("ft_pretrained", "ft_c0_1k", "ft_c0_10k", "ft_c1_1k", "ft_c1_10k"),
    )
    # Read off the paper by hand: a first row, a last one, and some between.
    assert rows["low:1e-4:0"] == (100, 9.7, 9.5, 14.5, 0, 27.1, 99.4, 100, 74.9, 87.5)
    assert rows["low:1e-5:1"] == (100, 0.4, 17.5, 0, 0, 27.1, 0, 0, 99.9, 100)
    assert rows["high:1e-5:0.8"] == (100, 99.9, 87.4, 93.8, 67.7, 99.9, 99.8, 100, 100, 100)
    assert rows["high:1e-6:1"] == (99.9, 100, 97.6, 98.6, 85.1, 99.9, 99.8, 73.9, 98.3, 100)


def test_table_1_is_the_papers() -> None:
    assert len(STORIES.rows) == 7 and "2311.12786, Table 1" in STORIES.source
    rows = {row.id: tuple(row.paper.values()) for row in STORIES.rows}
    assert tuple(STORIES.figures) == ("it0", "it30", "it300", "it3000")
    assert rows["F:1e-4"] == (44, 81, 81, 82) and rows["F+MM:1e-5"] == (50, 81, 62, 81)
    assert rows["F+RR:1e-5"] == (12, 44, 81, 81) and rows["never"] == (12, 31, 44, 81)


@pytest.mark.parametrize("table", [TABLE, PCFG, STORIES], ids=lambda table: str(table.name))
def test_all_decisive_figures_are_judged(table: Table) -> None:
    wrong = [compare(row, [None], failed="seed 0: x") for row in table.rows]
    assert {s.group.name: (s.agree, s.decisive) for s in scores(wrong)} == {
        group: (0, number) for group, number in decisive(table).items()
    }
    right = [compare(row, [row.paper]) for row in table.rows]
    assert {s.group.name: s.agree for s in scores(right)} == decisive(table)


@pytest.mark.parametrize("table", [TABLE, PCFG, STORIES], ids=lambda table: str(table.name))
def test_every_figure_has_a_source_and_a_place(table: Table) -> None:
    assert [column for block in table.blocks for column in block] == list(table.figures)
    assert len({quantity.words for quantity in table.figures.values()}) == len(table.figures)
    assert all(bool(quantity.reading) != bool(quantity.curve) for quantity in table.figures.values())
    assert load(table.name) == table and table.name in TABLES


def test_rates_have_the_presets_names() -> None:
    assert {row.lr: row.rate for row in TABLE.rows} == {
        **{"1e-1": "large", "1e-2": "medium", "1e-3": "small", "1e-4": "very-small"}
    }
    assert {row.lr: row.rate for row in PCFG.rows} == {"1e-4": "large", "1e-5": "medium", "1e-6": "small"}
    for row in TABLE.rows:
        assert tracr.smoke().rates[row.rate] == float(row.lr)
    for row in PCFG.rows:
        assert pcfg.paper().rates[row.rate] == float(row.lr) and row.rate in pcfg.small().rates


@pytest.mark.parametrize(
    ("table", "selector", "study", "base", "suite"),
    [
        (TABLE, "counter:1e-2:1", "tracr-counter", {}, {"c_tr": 1, "lr": "medium"}),
        (TABLE, "counter:1e-3:0.5", "tracr-counter", {}, {"c_tr": 0.5, "lr": "small"}),
        (TABLE, "max:1e-4:0", "tracr-max", {}, {"c_tr": 0, "lr": "very-small"}),
        (PCFG, "low:1e-4:1", "pcfg-counter", {"prior": "low"}, {"c_tr": 1, "lr": "large"}),
        (PCFG, "high:1e-6:0.8", "pcfg-counter", {"prior": "high"}, {"c_tr": 0.8, "lr": "small"}),
    ],
)
def test_the_models_are_the_suites(
    table: Table, selector: str, study: str, base: dict[str, Any], suite: dict[str, Any]
) -> None:
    """The same keys: what pytest has trained is not trained again, and the other way round."""
    (row,) = select(table, [selector])
    made = make(row.group.study, scale="smoke", method=find("full"))
    expected: Any = make(study, scale="smoke", method=find("full"))
    models = table.models(made, row, 2)
    assert set(models) == {"base", "tuned"}
    assert models["base"].key == expected.base(2, **base).key
    assert models["tuned"].key == expected.finetuned(2, **base, **suite).key


def test_story_models_are_the_suites() -> None:
    expected: Any = make("stories", scale="small", method=find("full"))
    models = {row.id: STORIES.models(expected, row, 2) for row in STORIES.rows}
    mixed, never = models["F+MM:1e-4"], models["never"]
    assert set(mixed) == set(never) == {"base", "tuned", "reft_30", "reft_300", "reft_3000"}
    assert mixed["base"].key == never["base"].key == expected.base(2).key
    assert mixed["tuned"].key == expected.deleted(2, protocol="mix-match", lr="medium").key
    assert never["tuned"].key == expected.base(2, never=True).key
    # 16 steps at scale small stand for the paper's 300: as many of pretraining are a twentieth of the paper's.
    assert never["reft_300"].key == expected.relearnt(never["tuned"], 2, lr="medium", steps=16).key


# ---- the choice of rows


@pytest.mark.parametrize(
    ("table", "selectors", "chosen"),
    [
        (TABLE, [], 24),
        (TABLE, ["counter"], 16),
        (TABLE, ["max"], 8),
        (TABLE, ["counter", "max"], 24),
        (TABLE, ["counter:1e-2"], 4),
        (TABLE, ["counter:medium"], 4),
        (TABLE, ["counter:0.01"], 4),
        (TABLE, ["counter:1e-2:1"], 1),
        (TABLE, ["counter:1e-2:1.0"], 1),
        (TABLE, ["counter:1e-2:.5, max:large"], 3),
        (TABLE, ["max:1e-1:0", "max"], 8),
        (PCFG, [], 24),
        (PCFG, ["low"], 12),
        (PCFG, ["high:1e-5"], 4),
        (PCFG, ["high:medium"], 4),
        (PCFG, ["low:small:0.8"], 1),
        (PCFG, ["low:large,high:0.00001:0"], 5),
        (STORIES, [], 7),
        (STORIES, ["F+RR"], 2),
        (STORIES, ["F+RR:small", "never"], 2),
    ],
)
def test_cells_select_rows(table: Table, selectors: list[str], chosen: int) -> None:
    rows = select(table, selectors)
    assert len(rows) == chosen and list(rows) == [row for row in table.rows if row in rows]
    for row in rows if len(selectors) == 1 and "," not in selectors[0] else []:
        assert row.group.name == selectors[0].split(":")[0]


def test_a_selected_row_is_the_one_that_was_meant() -> None:
    (row,) = select(TABLE, ["counter:small:0.8"])
    assert (row.group.name, row.lr, row.c_tr, row.id) == ("counter", "1e-3", 0.8, "counter:1e-3:0.8")
    assert row.paper == {"pt_c1": 1.3, "ft_c1": 98.3, "pt_c0": 6.7, "ft_c0": 0.7}


@pytest.mark.parametrize(
    ("table", "selector", "parts"),
    [
        (TABLE, "conter", ["no task 'conter'", "counter, max"]),
        (TABLE, "", ["''", "counter, max"]),
        (TABLE, "counter,", ["''", "counter, max"]),
        (TABLE, "counter:1e-9", ["no lr '1e-9'", "1e-1 (large), 1e-2 (medium)"]),
        (TABLE, "counter:nan", ["'nan'", "1e-4 (very-small)"]),
        (TABLE, "counter:1e-2:0.3", ["'0.3'", "known: 0, 0.5, 0.8, 1"]),
        (TABLE, "max:1e-2:0.5", ["'0.5'", "known: 0, 1"]),
        (TABLE, "counter:1e-2:x", ["no c_tr 'x'"]),
        (TABLE, "counter:1e-2:1:2", ["task:lr:c_tr", "counter:1e-1:0"]),
        (PCFG, "counter", ["no prior 'counter'", "known: low, high"]),
        (PCFG, "low:1e-1", ["'1e-1'", "1e-4 (large), 1e-5 (medium), 1e-6 (small)"]),
        (PCFG, "high:small:0.7", ["'0.7'", "known: 0, 0.5, 0.8, 1"]),
        (PCFG, "high:small:1:0", ["must be prior, prior:lr or prior:lr:c_tr", "low:1e-4:0"]),
    ],
)
def test_a_selector_that_chooses_nothing_is_quoted(table: Table, selector: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        select(table, [table.rows[0].group.name, selector])
    said = str(error.value)
    assert said.startswith("--cells=") and "\n" not in said and [p for p in parts if p not in said] == [], said


def test_an_unknown_table_is_quoted() -> None:
    with pytest.raises(UsageError, match="--table=tracer: unknown table; known: tracr, pcfg-counting"):
        load("tracer")


def test_a_row_knows_its_selector() -> None:
    for table in (TABLE, PCFG):
        for row in table.rows:
            assert isinstance(row, Row) and select(table, [row.id]) == (row,)


# ---- what agrees


@pytest.mark.parametrize(
    ("paper", "ours", "agrees"),
    [
        (0.0, [0.0, 0.0, 0.0], True),
        (100.0, [100.0, 99.0, 98.0], True),
        (0.0, [100.0, 100.0, 100.0], False),
        (100.0, [0.0, 0.0, 0.0], False),
        (0.0, [10.0, 20.0, 30.0], True),  # the mean counts: exactly 20 points
        (0.0, [10.0, 20.0, 30.3], False),  # 20.1 points
        (100.0, [80.0], True),
        (100.0, [79.9], False),
        (99.3, [79.3], True),  # 20 points, though 99.3 - 79.3 is a little more in floating point
        (0.7, [20.7], True),
        (19.9, [39.9], True),
        (19.9, [0.0], True),
        (19.9, [40.0], False),
        (19.9, [50.0], False),
        (80.1, [60.1], True),
        (80.1, [50.0], False),
        (80.1, [100.0], True),
        (20.0, [20.0], None),  # the edges are not decisive
        (80.0, [0.0], None),
        (50.0, [50.0], None),
        (54.6, [0.0], None),
        (50.0, [None], None),
    ],
)
def test_decisive_figures_agree_within_20_points(paper: float, ours: list[float | None], agrees: bool | None) -> None:
    assert figure(paper, *ours).agrees is agrees
    mirrored = figure(round(100 - paper, 6), *(None if x is None else 100 - x for x in ours))
    assert mirrored.agrees is agrees


@pytest.mark.parametrize(
    ("gap", "agrees"), [(Gap.FAILED, False), (Gap.DIVERGED, False), (Gap.UNMADE, None), (Gap.UNMEASURED, None)]
)
def test_a_seed_without_a_number_is_judged_only_if_something_went_wrong(gap: Gap, agrees: bool | None) -> None:
    without = figure(0.0, 0.0, None, 0.0, gap=gap)
    assert without.ours is None and without.ci is None and without.agrees is agrees
    assert figure(50.0, None, gap=gap).agrees is None


def test_a_row_without_numbers_says_the_worst_reason() -> None:
    reasons = {"failed": "seed 0: x", "diverged": "seed 1: y", "unmade": "seed 2: z"}
    row = "counter:1e-2:1"
    assert cell(row, None, None, None, **reasons).gap is Gap.FAILED
    assert cell(row, None, None, diverged="seed 0: y", unmade="seed 1: z").gap is Gap.DIVERGED
    unmade = cell(row, (0, 100, 10, 20), None, unmade="seed 1: z")
    assert unmade.gap is Gap.UNMADE and {f.gap for f in unmade.figures} == {Gap.UNMADE}
    assert [f.per_seed for f in unmade.figures] == [(0, None), (100, None), (10, None), (20, None)]
    assert unmade.disagreements == () and scores([unmade])[0].decisive == 0
    partly = cell(row, (0, None, 10, None), (0, 100, 10, None))
    assert partly.gap is None and [f.gap for f in partly.figures] == [None, Gap.UNMEASURED, None, Gap.UNMEASURED]
    assert [f.agrees for f in partly.figures] == [True, None, True, None]  # paper: .3 98.3 4.2 .2


def test_agreeing_is_on_the_same_side_of_50() -> None:
    for paper in range(101):
        for ours in range(101):
            if figure(float(paper), float(ours)).agrees:
                assert (paper < 50) == (ours < 50) and ours != 50


def test_ours_is_the_mean_with_an_interval_over_seeds() -> None:
    three = figure(0.0, 1.0, 2.0, 6.0)
    # On the scale log((p + .02) / (1.02 - p)) they are -3.52, -3.22 and -2.46: -3.07, deviation .54; t(2) is 4.303.
    assert three.ours == 3.0 and three.ci == pytest.approx((0.0, 13.34), abs=0.01)
    assert figure(0.0, 4.0).ours == 4.0 and figure(0.0, 4.0).ci is None
    low, high = figure(0.0, 4.0, 4.0).ci or (0.0, 0.0)
    assert 0 <= low < 4 < high < 20  # seeds that agree have the error of their sample
    without = figure(0.0, 1.0, None)
    assert without.ours is None and without.ci is None


def test_scores_count_decisive_figures_by_group() -> None:
    # Paper: .3 98.3 4.2 .2; 54.6 1.2 25.7 27.2; max: 20.3 34.5 0 99.3
    right = cell("counter:1e-2:1", (0, 100, 10, 20), (0, 100, 10, 20))
    mixed = cell("counter:1e-3:0", (0, 90, 0, 0), (0, 100, 0, 0))  # one decisive figure, and that one is wrong
    broken = cell("max:1e-1:0", (20, 34, 0, 99), None, diverged="seed 1: training diverged at step 3")
    counter, largest = scores([right, mixed, broken])
    assert (counter.group.name, counter.agree, counter.decisive) == ("counter", 4, 5)
    assert (largest.group.name, largest.agree, largest.decisive) == ("max", 0, 2)
    assert [f.name for f in mixed.disagreements] == ["ft_c1"] and right.disagreements == ()
    assert [f.name for f in broken.disagreements] == ["pt_c0", "ft_c0"]
    assert replace(counter, agree=55, decisive=60).words == "counter: 55 of 60 decisive figures agree (92 %)"
    assert replace(largest, decisive=0).words == "max: nothing to judge"
    (low,) = scores([compare(row, [row.paper]) for row in select(PCFG, ["low:small:1"])])
    assert low.words == "prior low: 6 of 6 decisive figures agree (100 %)"
