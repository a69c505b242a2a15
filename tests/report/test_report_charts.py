"""The page's own drawings: axes of like sizes together, marks at round values, a name at each line's end, no overlap."""

from __future__ import annotations

import csv
import io
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import SEEDS, example, mapped, measured, record

from capbench.report.charts import lines
from capbench.report.charts.axis import Axis, like_lengths, steps_axis, values_axis
from capbench.report.charts.figures import draw_all
from capbench.report.data import HEAD, figure_data
from capbench.report.panels import sheets

sizes = st.floats(1e-3, 1e6)


def test_runs_of_400_steps_share_no_axis_with_runs_of_10000() -> None:
    assert like_lengths([400, 10_000, 380, 9_000, 400]) == [0, 1, 0, 1, 0]
    assert like_lengths([]) == []


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_group_holds_like_lengths_alone(ends: list[float]) -> None:
    groups = like_lengths(ends)
    for group in set(groups):
        same = [end for end, of in zip(ends, groups, strict=True) if of == group]
        assert max(same) <= 2.5 * min(same)


@given(st.lists(sizes, min_size=2, unique=True), st.booleans())
def test_an_axis_keeps_the_order_of_values_and_marks_only_what_is_on_it(xs: list[float], log: bool) -> None:
    axis = steps_axis([0.0, *xs], log=log)
    places = [axis.at(x) for x in sorted([0.0, *xs])]
    assert places == sorted(places) and places[0] == 0 and places[-1] == pytest.approx(1)
    assert all(-1e-6 <= axis.at(tick) <= 1 + 1e-3 for tick in axis.ticks())


def test_marks_are_round_and_revivals_have_powers_of_ten() -> None:
    assert Axis(low=0, high=400).ticks() == [0, 100, 200, 300, 400]
    assert Axis(low=0, high=1).ticks() == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert steps_axis([0, 1, 5, 50, 1000], log=True).ticks() == [0, 1, 10, 100, 1000]
    assert steps_axis([0, 100, 200, 300]).least is None
    assert values_axis([0.2, 0.9], "O_PT accuracy") == Axis(low=0, high=1)
    assert values_axis([], "bits") == Axis(low=0, high=1)
    assert values_axis([2.0], "bits").low == 0 and values_axis([-1.0, 2.0], "gain").low < -1


def test_each_line_is_named_at_its_end_and_no_two_names_overlap() -> None:
    names = [f"a line with a rather long name, number {i}" for i in range(9)]
    runs = tuple(measured((0, 1), (0.5, 0.5 + i / 1000), 0, series=name) for i, name in enumerate(names))
    (sheet,) = sheets([record(measurements=runs)])
    ((panel,),) = (block.panels for block in lines.draw(sheet))
    written = [
        (float(y), text)
        for y, text in re.findall(rf'<text x="{lines.WIDTH - lines.RIGHT + 23}" y="([^"]+)">(.*?)<', panel.svg)
    ]
    heights = [y for y, _ in written]
    assert all(later - sooner >= lines.ROW - 0.11 for sooner, later in itertools.pairwise(heights))
    told = " ".join(text for _, text in written)
    assert all(f"number {i}" in told for i in range(9))


def test_the_band_spans_the_seeds_and_the_alternative_text_says_where_lines_end() -> None:
    runs = tuple(measured((0, 10), (0.0, 0.5 + seed / 10), seed) for seed in SEEDS)
    (sheet,) = sheets([record(measurements=runs)])
    ((panel,),) = (block.panels for block in lines.draw(sheet))
    assert panel.title == "the new operand rare in pretraining"
    assert (
        'aria-label="the new operand rare in pretraining. accuracy by pruned neurons: O_PT, pruned from 0.00 to 0.60."'
        in panel.svg
    )
    (band,) = re.findall(r'class="band c0" d="M([^Z]+)Z"', panel.svg)
    inner = lines.HEIGHT - lines.BOTTOM - lines.TOP
    numbers = [float(n) for n in band.split()]
    down = numbers[1::2]
    assert max(down) - min(down) == pytest.approx(0.7 * inner, abs=0.2)
    assert numbers[3] == pytest.approx(lines.TOP + 0.3 * inner, abs=0.1)  # the highest seed, 0.7, at the right


def test_thresholds_are_drawn_where_accuracy_is_judged() -> None:
    runs = [measured((0, 1), (0.9, 0.1), 0, group="fine-tuning"), measured((0, 1), (0.9, 0.1), 0)]
    with_marks, without = (f.blocks[0].panels[0].svg for f in draw_all([record(measurements=tuple(runs))]))
    assert with_marks.count('class="limit"') == 2 and ">kept<" in with_marks and ">gone<" in with_marks
    assert 'class="limit"' not in without


def test_figures_stand_under_the_question_they_help_to_answer() -> None:
    found = draw_all(example().records)
    assert [f.question for f in found] == [
        "Is it a shortcut?", *["Is the old capability still there?"] * 3, "How fast does it come back?", "Further figures",
    ]  # fmt: skip
    assert all(not f.error for f in found)


def test_the_data_of_a_figure_are_its_points_and_cells_and_gaps_are_empty() -> None:
    curve, grid = measured((0, 1), (0.25, None), 4), mapped([[1.0, 0.5]], seed=2)
    found = figure_data([record(measurements=(curve, grid))])
    assert list(found) == ["figures/pruning.csv", "figures/attention.csv"]
    head, *rows = csv.reader(io.StringIO(found["figures/pruning.csv"]))
    assert tuple(head) == HEAD
    assert [row[7:] for row in rows] == [
        ["4", "accuracy", "pruned neurons", "0", "accuracy", "0.25", "0.25"],
        ["4", "accuracy", "pruned neurons", "1", "accuracy", "", ""],
    ]
    cells = list(csv.reader(io.StringIO(found["figures/attention.csv"])))[1:]
    assert [row[9:] for row in cells] == [["key", "$", "query", "$", "1.0"], ["key", "a", "query", "$", "0.5"]]


def test_groups_whose_names_make_one_file_name_get_files_of_their_own() -> None:
    curves = tuple(measured((0,), (1.0,), 0, group=group) for group in ("a b", "a-b", "../x", "$"))
    names = list(figure_data([record(measurements=curves)]))
    assert names == ["figures/a-b-1.csv", "figures/a-b-2.csv", "figures/x.csv", "figures/figure.csv"]
