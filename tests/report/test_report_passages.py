"""What models wrote stands side by side in the page, as text: what was asked, a column for each model, the event marked."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import record, results

from capbench.report.data import figure_data
from capbench.report.html import render
from capbench.report.passages import passage_sheets, pieces
from capbench.results import Measurement, Passage, from_json, to_json

TOLD = "They played. But it was a <b>cat</b>. They went home."
TWIST = (13, 37)


def told(series: str, prompt: str, text: str, *marked: tuple[int, int], seed: int = 0) -> Measurement:
    passage = Passage(prompt=prompt, text=text, marked=marked)
    about: Any = {"name": f"{series}.story", "unit": "accuracy", "n": 1, "seed": seed, "group": "stories"}
    return Measurement(**about, value=float(bool(marked)), series=series, passage=passage)


BEFORE = (told("before", "Twist, kite", TOLD, TWIST), told("before", "Twist, park", "They slept."))
AFTER = (told("after", "Twist, kite", "They played."), told("before", "Twist, kite", "Seed 1.", seed=1))


@given(st.text(), st.data())
def test_pieces_are_the_text(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    marked = tuple(zip(ends[::2], ends[1::2], strict=False))
    found = pieces(Passage(prompt="", text=text, marked=marked))
    assert "".join(piece.text for piece in found) == text
    assert "".join(piece.text for piece in found if piece.marked) == "".join(text[a:b] for a, b in marked)


@pytest.mark.parametrize("marked", [((3, 2),), ((0, 9),), ((4, 5), (1, 2)), ((-1, 2),)])
def test_what_is_marked_must_be_in_the_text(marked: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="must follow each other in a text of 8 characters"):
        Passage(prompt="", text="8 letter", marked=marked)


def test_models_are_columns_and_prompts_are_rows() -> None:
    (sheet,) = passage_sheets([record(measurements=(*BEFORE, *AFTER))])
    (table,) = sheet.tables
    assert table.columns == ("before", "after") and [row.prompt for row in table.rows] == ["Twist, kite", "Twist, park"]
    first, second = table.rows
    assert [piece.text for piece in first.texts[0] or () if piece.marked] == ["But it was a <b>cat</b>."]
    assert second.texts[1] is None  # it was not asked
    assert "Seed 1." not in str(table)
    # Two claims on one model show its stories once.
    both = [record(measurements=BEFORE), record(claim="wrapper.other", measurements=BEFORE)]
    assert [len(sheet.tables) for sheet in passage_sheets(both)] == [1]


def test_the_page_shows_them_as_text() -> None:
    shown = results(record(measurements=(*BEFORE, *AFTER)))
    page = render(shown)
    assert "<mark>But it was a &lt;b&gt;cat&lt;/b&gt;.</mark>" in page and "<b>cat</b>" not in page
    assert '<th scope="col">before</th>' in page and '<th scope="row">Twist, park</th>' in page
    assert "before.story" not in page  # no quantity among the numbers


def test_results_and_data_keep_them() -> None:
    before = results(record(measurements=BEFORE))
    assert from_json(to_json(before)) == before
    (rows,) = (list(csv.reader(io.StringIO(text))) for text in figure_data(before.records).values())
    assert len(rows) == 3 and TOLD in rows[1] and "Twist, kite" in rows[1]
    with pytest.raises(ValueError, match="one of curve, grid and passage"):
        dataclasses.replace(BEFORE[0], curve=_curve())


def _curve() -> Any:
    from capbench.results import Curve

    return Curve(x=(0,), y=(0,), x_label="", y_label="")
