"""Heat maps: each grid is drawn once, under its tokens, beside what it is to be compared with, and on one scale."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html import unescape
from pathlib import Path

import pytest
from drawn_svg import svg
from PIL import Image
from report_example import SEEDS, TOKENS, example, mapped, measured, record, results

from capbench.report import capability_table, claim_table, heatmaps, write
from capbench.report.charts import maps
from capbench.report.charts.figures import draw_all
from capbench.report.heatmaps import lay_out, limits
from capbench.report.maps import Map, MapRow, map_sheets
from capbench.report.panels import sheets
from capbench.results import Grid, Measurement

LOW = "the new operand rare in pretraining"
ONE, TWO = [[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.2, 0.8]]


def grid(rows: int, columns: int, value: float = 0.5, label: str = "a") -> Grid:
    return Grid(
        values=((value,) * columns,) * rows, rows=(label,) * rows, columns=(label,) * columns, row_label="query",
        column_label="key",
    )  # fmt: skip


def row(*grids: Grid) -> MapRow:
    return MapRow(title="case", unit="", maps=tuple(Map(title=f"map {i}", grid=g) for i, g in enumerate(grids)))


def drawn(*measurements: Measurement) -> str:
    """The only picture of the only sheet."""
    ((row,),) = (sheet.rows for sheet in map_sheets([record(measurements=measurements)]))
    return svg(heatmaps.draw(row))


def texts(svg: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


# ---- what is drawn where


def test_maps_of_a_record_stand_in_a_row_in_its_order() -> None:
    series = [f"{model}, block {block}" for block in (1, 2) for model in ("compiled", "fine-tuned")]
    maps = tuple(mapped(ONE, series=name) for name in series)
    (sheet,) = map_sheets([record(measurements=maps), record(case="prior=high", measurements=maps[:1])])
    assert (sheet.group, sheet.title) == ("attention", "Attention maps")
    assert [(r.title, [m.title for m in r.maps]) for r in sheet.rows] == [
        (LOW, series),
        ("the new operand common in pretraining", series[:1]),
    ]


def test_a_map_shared_by_two_claims_is_drawn_once() -> None:
    maps = (mapped(ONE), mapped(TWO, series="fine-tuned, block 1"))
    others = (*maps, mapped(TWO, series="fine-tuned, block 2"))
    (sheet,) = map_sheets([record(measurements=maps), record(claim="wrapper.other", measurements=others)])
    (found,) = sheet.rows
    assert [m.title for m in found.maps] == ["compiled, block 1", "fine-tuned, block 1", "fine-tuned, block 2"]
    assert "Claims: wrapper.pruning, wrapper.other." in sheet.caption


def test_equal_maps_of_other_cases_methods_and_models_are_all_drawn() -> None:
    changes = [{}, {"case": "prior=high"}, {"method": "mine"}, {"model": "other"}]
    (sheet,) = map_sheets([record(**change, measurements=(mapped(ONE),)) for change in changes])
    assert [r.title.split("\n") for r in sheet.rows] == [
        [LOW, "gpt, counter", "full"],
        ["the new operand common in pretraining", "gpt, counter", "full"],
        [LOW, "gpt, counter", "mine"],
        [LOW, "other, counter", "full"],
    ]


def test_only_the_lowest_seed_of_each_series_is_drawn_and_the_caption_says_so() -> None:
    first = [mapped([[seed, 1.0]], seed) for seed in (2, 0, 1)]
    second = [mapped([[10 + seed, 1.0]], seed, series="fine-tuned, block 1") for seed in (2, 1)]
    (sheet,) = map_sheets([record(measurements=(*first, *second))])
    assert [m.grid.values[0][0] for m in sheet.rows[0].maps] == [0, 11]
    assert "3 seeds (0, 1, 2); only the lowest seed of each record and map is drawn (0, 1)." in sheet.caption
    (sheet,) = map_sheets([record(measurements=(mapped(ONE, 4),))])
    assert "1 seed (4)." in sheet.caption
    assert "lowest" not in sheet.caption
    (sheet,) = map_sheets([record(measurements=(mapped(ONE, 0), mapped(ONE, 1), mapped(ONE, 1, series="other")))])
    assert "2 seeds (0, 1); only the lowest seed of each record and map is drawn (0, 1)." in sheet.caption


def test_maps_of_one_series_are_told_apart_by_their_names() -> None:
    maps = (mapped(ONE, name="head.0"), mapped(TWO, name="head.1"), mapped(ONE, series=""))
    (sheet,) = map_sheets([record(measurements=maps)])
    titles = [m.title for m in sheet.rows[0].maps]
    assert titles == ["compiled, block 1, head.0", "compiled, block 1, head.1", "attention.map"]


def test_groups_have_their_titles_and_may_hold_curves_too() -> None:
    made = [mapped(ONE, group=group) for group in ("probing", "activations", "", "attention")]
    found = record(measurements=(*made, measured((0, 1), (0.1, 0.2), 0, group="probing")))
    titles = ["Attention maps", "Activation maps", "Probing maps", "Other maps"]
    assert [sheet.title for sheet in map_sheets([found])] == titles
    assert [sheet.title for sheet in sheets([found])] == ["Probing"]
    assert sorted(d.title for d in draw_all([found])) == sorted(["Probing", *titles])


def test_maps_of_different_units_share_no_scale() -> None:
    (sheet,) = map_sheets([record(measurements=(mapped(ONE), mapped([[100.0]], unit="logits")))])
    assert [(r.unit, limits(r)) for r in sheet.rows] == [("attention", (0, 1)), ("logits", (0, 100))]


# ---- how


def test_every_token_labels_both_axes() -> None:
    svg = drawn(mapped([[0.2] * 5] * 5))
    found = [text for text in texts(svg) if text in TOKENS]
    assert sorted(found) == sorted(TOKENS * 2)
    assert found.count("$") == 2
    assert {"query", "key", "compiled, block 1", "attention", LOW} <= set(texts(svg))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "columns"), [(21, 4), (46, 2)])
def test_large_maps_label_every_token_readably(n: int, columns: int) -> None:
    tokens = tuple(chr(0x100 + i) for i in range(n))
    one = dataclasses.replace(grid(n, n), rows=tokens, columns=tokens)
    found = row(*[one] * 6)
    layout = lay_out(found)
    assert layout.columns == columns
    assert layout.columns * layout.place[0] + heatmaps.BAR[1] <= heatmaps.WIDTH + 1e-9
    shown = svg(heatmaps.draw(found))
    assert all(texts(shown).count(token) == 12 for token in tokens)
    labels = [label for label in re.findall(r"<text[^>]*>[^<]</text>", shown) if label[-8] in tokens]
    assert len(labels) == 12 * n
    assert min(float(size) for label in labels for size in re.findall(r"([\d.]+)px", label)) >= 6


def test_pairs_stay_together_where_a_row_is_broken() -> None:
    assert [lay_out(row(*[grid(21, 21)] * n)).columns for n in (1, 3, 4, 6)] == [1, 3, 4, 4]
    assert [lay_out(row(*[grid(30, 30)] * n)).columns for n in (3, 6)] == [3, 2]
    assert lay_out(row(*[grid(80, 80)] * 2)).columns == 1


def test_huge_maps_stay_on_the_page_with_fewer_labels() -> None:
    found = row(grid(700, 300))
    layout = lay_out(found)
    assert layout.place[0] + heatmaps.BAR[1] <= heatmaps.WIDTH + 1e-9
    assert layout.cells[1] <= heatmaps.TALLEST + 1e-9
    assert 50 < texts(svg(heatmaps.draw(found))).count("a") < 400


def test_the_scale_starts_at_zero_or_has_it_in_its_middle() -> None:
    assert limits(row(grid(1, 2, 0.25), grid(2, 1, 0.75))) == (0, 0.75)
    assert limits(row(grid(1, 2, 0.25), grid(2, 1, -0.75))) == (-0.75, 0.75)
    assert limits(row(grid(1, 1, 0.0))) == (0, 1)


def test_values_are_told_apart_by_colour() -> None:
    """Black box: pictures of different values differ, and the sign chooses the colours."""
    images = [re.findall(r"data:image/png;base64,([^\"]+)", drawn(mapped([[a, 1.0]])))[0] for a in (0.0, 0.1, -0.1)]
    assert len(set(images)) == 3


def test_only_labels_too_wide_for_their_cell_are_turned() -> None:
    tokens = ("BOS", "a", "b", "EOS")
    svg = drawn(mapped([[1.0]], grid=dataclasses.replace(grid(1, 4), columns=tokens, column_label="", row_label="")))
    labels = re.findall(r"<text([^>]*)>([^<]*)</text>", svg)
    assert {text for style, text in labels if "rotate(-90" in style and text in tokens} == {"BOS", "EOS"}


def test_long_labels_keep_both_ends_and_titles_are_no_formulas() -> None:
    labels = {"rows": ("is_previous_token_equal:17",), "columns": (r"$\frac$",)}
    svg = drawn(mapped([[1.0]], series="$x_1$ <b>", grid=dataclasses.replace(grid(1, 1), **labels)))
    assert {"is_previou…_equal:17", r"$\frac$", "$x_1$ <b>"} <= set(texts(svg))


# ---- in the report


def test_the_page_shows_the_maps_and_their_tokens(reported: Path) -> None:
    html = (reported / "report.html").read_text("utf-8")
    assert html.count("<h4>Attention maps</h4>") == html.count("<h4>Activation maps</h4>") == 1
    drawings = re.findall(r'<svg class="chart map".*?</svg>', html)
    assert len(drawings) == 8  # two blocks, before and after, of attention and of activations
    for token in set(TOKENS):
        counts = [texts(drawing).count(token) for drawing in drawings]
        assert counts == [2 * TOKENS.count(token)] * 4 + [TOKENS.count(token)] * 4
    assert f"{len(SEEDS)} seeds (0, 1, 2); only the lowest seed of each record and map is drawn (0)." in html
    assert "attention.map" not in html  # a map is no quantity of the measurement tables


def test_the_cells_of_a_map_are_pixels_on_one_scale_with_zero_in_the_middle_where_there_are_both_signs() -> None:
    def pixels(values: list[list[float]]) -> list[list[tuple[int, ...]]]:
        (found,) = map_sheets([record(measurements=(mapped(values),))])
        ((_, drawing),) = maps.draw(found.rows[0]).maps
        (data,) = re.findall(r"data:image/png;base64,([^\"]+)", drawing)
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        return [[image.getpixel((j, i)) for j in range(image.width)] for i in range(image.height)]

    assert pixels([[0.0, 1.0], [0.25, 1.0]]) == [[(68, 1, 84), (253, 231, 37)], [(59, 82, 139), (253, 231, 37)]]
    assert pixels([[-2.0, 0.0]]) == [[(33, 102, 172), (247, 247, 247)]]


def test_a_map_with_a_value_is_a_quantity_too(tmp_path: Path) -> None:
    found = results(record(measurements=(mapped(ONE, name="attention.distance", value=0.875),)))
    html = (write(found, tmp_path) / "report.html").read_text("utf-8")
    assert re.search(r"<td>attention\.distance<td>.*>0\.88<", html)


def test_tables_know_no_maps(reported: Path, tmp_path: Path) -> None:
    bare = dataclasses.replace(
        example(),
        records=tuple(
            dataclasses.replace(r, measurements=tuple(m for m in r.measurements if m.grid is None))
            for r in example().records
        ),
    )
    assert (claim_table(bare), capability_table(bare)) == (claim_table(example()), capability_table(example()))
    without = write(bare, tmp_path)
    for name in ("summary.md", "results.csv"):
        assert (reported / name).read_bytes() == (without / name).read_bytes()


def test_a_map_that_fails_costs_only_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = maps.draw

    def fail(found: MapRow) -> maps.DrawnRow:
        if "common" in found.title:
            raise RuntimeError("no\nink <b>")
        return whole(found)

    monkeypatch.setattr(maps, "draw", fail)
    cases = [record(case=f"prior={prior}", measurements=(mapped(ONE),)) for prior in ("low", "high", "never")]
    html = (write(results(*cases), tmp_path) / "report.html").read_text("utf-8")
    assert html.count("This figure could not be drawn (RuntimeError: no ink &lt;b&gt;)") == 1
    assert html.count('<svg class="chart map"') == 2


def test_equal_rows_give_equal_bytes() -> None:
    first = drawn(mapped(ONE), mapped(TWO, series="fine-tuned, block 1"))
    assert first == drawn(mapped(ONE), mapped(TWO, series="fine-tuned, block 1"))
    assert first != drawn(mapped(TWO), mapped(ONE, series="fine-tuned, block 1"))
