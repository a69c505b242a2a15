"""The figures show each curve once, average only what every seed has, and leave matplotlib alone."""

from __future__ import annotations

import dataclasses

import pytest
from drawn_svg import svg
from report_example import SEEDS, example, measured, record

from capbench.report import figures
from capbench.report.charts.figures import draw_all
from capbench.report.panels import mean, sheets
from capbench.results import Curve


def test_the_mean_covers_only_what_every_seed_has() -> None:
    def curve(xs: tuple[float, ...], ys: tuple[float | None, ...]) -> Curve:
        return Curve(x=xs, y=ys, x_label="steps", y_label="accuracy")

    long, short = curve((0, 10, 20, 30), (0.0, 0.2, None, 0.6)), curve((0, 10, 20), (0.2, 0.4, 0.6))
    assert mean([long, short]) == ([0, 10, 20], [0.1, pytest.approx(0.3), None])
    assert mean([curve((0, 10), (0, 1)), curve((5, 15), (0, 1))]) == ([], [])


def test_curves_of_unequal_length_and_with_gaps_are_drawn() -> None:
    runs = [measured(range(n), [None if x == 1 else 0.1 * x for x in range(n)], seed=n) for n in (1, 4, 9)]
    (figure,) = draw_all([record(measurements=tuple(runs))])
    ((panel,),) = (block.panels for block in figure.blocks)
    assert figure.error == ""
    assert "3 seeds (1, 4, 9)" in figure.caption
    # The mean is known at 0, and no run has a value at 1: a dot, and a thin line for each stretch of a run.
    assert panel.svg.count('class="dot') == 1
    assert panel.svg.count('class="run') == 5


def test_a_curve_shared_by_two_claims_is_drawn_once() -> None:
    runs = tuple(measured((0, 1), (0.1, 0.2 + seed / 10), seed) for seed in SEEDS)
    (sheet,) = sheets([record(measurements=runs), record(claim="wrapper.other", measurements=runs)])
    (panel,) = sheet.panels
    assert [len(line.curves) for line in panel.lines] == [3]
    assert "wrapper.pruning, wrapper.other" in sheet.caption


def test_panels_are_split_by_case_method_and_axis_and_keep_their_colours() -> None:
    here, there = measured((0, 1), (0.1, 0.2), 0), measured((0, 1), (0.1, 0.2), 0, series="random rows")
    bits = dataclasses.replace(here, curve=Curve(x=(0,), y=(2.0,), x_label="block", y_label="bits/sample"))
    made = [record(measurements=(here, bits)), record(case="prior=high", measurements=(there, here))]
    (sheet,) = sheets([*made, record(method="mine", measurements=(here,))])
    assert [(p.title, p.y_label) for p in sheet.panels] == [
        ("the new operand rare in pretraining\nfull", "accuracy"),
        ("the new operand rare in pretraining\nfull", "bits/sample"),
        ("the new operand common in pretraining\nfull", "accuracy"),
        ("the new operand rare in pretraining\nmine", "accuracy"),
    ]
    looks = figures._looks(sheet.panels)
    assert looks["O_PT, pruned"]["color"] != looks["random rows"]["color"]


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    for sheet in sheets(example().records):
        assert figures.draw(sheet).axes
    assert dict(matplotlib.rcParams) == before


def test_a_dollar_in_a_name_is_no_formula() -> None:
    (sheet,) = sheets([record(case=r"$\frac$", measurements=(measured((0, 1), (0.1, 0.2), 0),))])
    assert r"$\frac$" in svg(figures.draw(sheet))
