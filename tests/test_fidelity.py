"""The paper's tables beside ours: the data, the choice of rows, what agrees, and how it is shown. Nothing is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capbench.errors import UsageError
from capbench.fidelity import show
from capbench.fidelity.compare import Cell, Figure, Score, compare, scores
from capbench.fidelity.paper import FIGURES, Row, load, select
from capbench.fidelity.run import Replication, _models
from capbench.methods.registry import find
from capbench.presets import smoke
from capbench.protocols.studies import STUDIES
from capbench.results import RunInfo

TABLE = load("tracr")
NAMES = tuple(FIGURES)


def figure(paper: float, *per_seed: float | None) -> Figure:
    return Figure(name="pt_c1", paper=paper, per_seed=per_seed)


def cell(selector: str, *seeds: Sequence[float] | None, **why: str) -> Cell:
    """The chosen row beside four figures per seed."""
    (row,) = select(TABLE, [selector])
    ours = [None if seed is None else dict(zip(NAMES, seed, strict=True)) for seed in seeds]
    return compare(row, ours, **why)


# ---- the table


def test_the_table_is_the_papers() -> None:
    assert len(TABLE.rows) == 24 and "2311.12786, Table 3" in TABLE.source
    rows = {row.id: tuple(row.paper.values()) for row in TABLE.rows}
    assert len(rows) == 24 and NAMES == ("pt_c1", "ft_c1", "pt_c0", "ft_c0")
    # Read off the paper by hand: a first row, a last one, and some between.
    assert rows["counter:1e-1:0"] == (0.0, 100.0, 0.0, 100.0)
    assert rows["counter:1e-3:0.5"] == (7.1, 90.9, 19.8, 2.3)
    assert rows["counter:1e-2:1"] == (0.3, 98.3, 4.2, 0.2)
    assert rows["max:1e-1:0"] == (20.3, 34.5, 0.0, 99.3)
    assert rows["max:1e-4:1"] == (0.0, 90.2, 0.7, 88.6)
    decisive = {s.task: s.decisive for s in scores([compare(row, [None]) for row in TABLE.rows])}
    by_hand = {
        task: sum(not 20 <= value <= 80 for row in TABLE.rows if row.task == task for value in row.paper.values())
        for task in ("counter", "max")
    }
    assert decisive == by_hand


def test_rates_have_the_presets_names() -> None:
    names = {row.lr: row.rate for row in TABLE.rows}
    assert names == {"1e-1": "large", "1e-2": "medium", "1e-3": "small", "1e-4": "very-small"}
    for row in TABLE.rows:
        assert smoke().tracr.rates[row.rate] == float(row.lr)


@pytest.mark.parametrize(
    ("selector", "study", "suite"),
    [
        ("counter:1e-2:1", "tracr-counter", {"c_tr": 1, "lr": "medium"}),
        ("counter:1e-3:0.5", "tracr-counter", {"c_tr": 0.5, "lr": "small"}),
        ("max:1e-4:0", "tracr-max", {"c_tr": 0, "lr": "very-small"}),
    ],
)
def test_the_models_are_the_suites(selector: str, study: str, suite: dict[str, Any]) -> None:
    """The same keys: what pytest has trained is not trained again, and the other way round."""
    (row,) = select(TABLE, [selector])
    made = STUDIES[TABLE.studies[row.task]](smoke(), find("full"), "cpu")
    expected: Any = STUDIES[study](smoke(), find("full"), "cpu")
    models = _models(made, row, 2)
    assert models["tuned"].key == expected.finetuned(2, **suite).key and models["base"].key == expected.base(2).key
    assert set(models) == {"base", "tuned"}


# ---- the choice of rows


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        ([], 24),
        (["counter"], 16),
        (["max"], 8),
        (["counter", "max"], 24),
        (["counter:1e-2"], 4),
        (["counter:medium"], 4),
        (["counter:0.01"], 4),
        (["counter:1e-2:1"], 1),
        (["counter:1e-2:1.0"], 1),
        (["counter:1e-2:.5, max:large"], 3),
        (["max:1e-1:0", "max"], 8),
    ],
)
def test_cells_select_rows(selectors: list[str], chosen: int) -> None:
    rows = select(TABLE, selectors)
    assert len(rows) == chosen and list(rows) == [row for row in TABLE.rows if row in rows]
    for row in rows if len(selectors) == 1 and "," not in selectors[0] else []:
        assert row.task == selectors[0].split(":")[0]


def test_a_selected_row_is_the_one_that_was_meant() -> None:
    (row,) = select(TABLE, ["counter:small:0.8"])
    assert (row.task, row.lr, row.c_tr, row.id) == ("counter", "1e-3", 0.8, "counter:1e-3:0.8")
    assert row.paper == {"pt_c1": 1.3, "ft_c1": 98.3, "pt_c0": 6.7, "ft_c0": 0.7}


@pytest.mark.parametrize(
    ("selector", "parts"),
    [
        ("conter", ["'conter'", "counter, max"]),
        ("", ["''", "counter, max"]),
        ("counter,", ["''", "counter, max"]),
        ("counter:1e-9", ["'1e-9'", "1e-1 (large), 1e-2 (medium)"]),
        ("counter:nan", ["'nan'", "1e-4 (very-small)"]),
        ("counter:1e-2:0.3", ["'0.3'", "known: 0, 0.5, 0.8, 1"]),
        ("max:1e-2:0.5", ["'0.5'", "known: 0, 1"]),
        ("counter:1e-2:x", ["c_tr 'x'"]),
        ("counter:1e-2:1:2", ["task:lr:c_tr", "counter:1e-1:0"]),
    ],
)
def test_a_selector_that_chooses_nothing_is_quoted(selector: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        select(TABLE, ["max", selector])
    said = str(error.value)
    assert said.startswith("--cells=") and "\n" not in said and [p for p in parts if p not in said] == [], said


def test_an_unknown_table_is_quoted() -> None:
    with pytest.raises(UsageError, match="--table=tracer: unknown table; known: tracr"):
        load("tracer")


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
        (0.0, [0.0, None, 0.0], False),  # a seed without a number
        (50.0, [None], None),
    ],
)
def test_decisive_figures_agree_within_20_points(paper: float, ours: list[float | None], agrees: bool | None) -> None:
    assert figure(paper, *ours).agrees is agrees
    mirrored = figure(round(100 - paper, 6), *(None if x is None else 100 - x for x in ours))
    assert mirrored.agrees is agrees


def test_agreeing_is_on_the_same_side_of_50() -> None:
    for paper in range(101):
        for ours in range(101):
            if figure(float(paper), float(ours)).agrees:
                assert (paper < 50) == (ours < 50) and ours != 50


def test_ours_is_the_mean_with_an_interval_over_seeds() -> None:
    three = figure(0.0, 1.0, 2.0, 6.0)
    assert three.ours == 3.0 and three.ci == (1.0, 6.0)  # of three seeds: the range
    assert figure(0.0, 4.0).ours == 4.0 and figure(0.0, 4.0).ci is None
    assert figure(0.0, 4.0, 4.0).ci == (4.0, 4.0)
    without = figure(0.0, 1.0, None)
    assert without.ours is None and without.ci is None


def test_scores_count_decisive_figures_by_task() -> None:
    # Paper: .3 98.3 4.2 .2; 54.6 1.2 25.7 27.2; max: 20.3 34.5 0 99.3
    right = cell("counter:1e-2:1", (0, 100, 10, 20), (0, 100, 10, 20))
    mixed = cell("counter:1e-3:0", (0, 90, 0, 0), (0, 100, 0, 0))  # one decisive figure, and that one is wrong
    broken = cell("max:1e-1:0", (20, 34, 0, 99), None, diverged="seed 1: training diverged at step 3")
    assert scores([right, mixed, broken]) == (
        Score(task="counter", agree=4, decisive=5),
        Score(task="max", agree=0, decisive=2),
    )
    assert [f.name for f in mixed.disagreements] == ["ft_c1"] and right.disagreements == ()
    assert [f.name for f in broken.disagreements] == ["pt_c0", "ft_c0"]
    assert Score(task="counter", agree=55, decisive=60).words == "counter: 55 of 60 decisive figures agree (92 %)"
    assert Score(task="max", agree=0, decisive=0).words == "max: no decisive figures"


# ---- how it is shown

RUN = RunInfo(
    run_id="fidelity-tracr",
    capbench="0",
    git_commit=None,
    python="3.11",
    torch="2",
    device="cpu",
    threads=1,
    scale="tiny",
    seeds=(0, 1),
    methods=("full",),
    command="capbench fidelity --table tracr",
    start="2024-01-01T00:00:00+00:00",
    seconds=1.0,
)
CELLS = (
    cell("counter:1e-2:1", (0, 100, 10, 60), (1, 100, 10, 70)),
    cell("counter:1e-1:1", (0, 100, 10, 60), None, diverged="seed 1: training diverged at step 3"),
    cell("max:1e-4:1", None, None, failed="seed 0: a\nb; seed 1: c"),
)
FOUND = Replication(cells=CELLS, base={"counter": 99.5})


def lines(text: str, *parts: str) -> list[str]:
    return [line for line in text.splitlines() if all(part in line for part in parts)]


def test_the_terminal_shows_each_figure_beside_the_papers() -> None:
    text = show.to_text(TABLE, FOUND, RUN)
    assert "scale tiny, 2 seeds (0, 1), method full" in text.splitlines()[0]
    (row,) = lines(text, "1e-2  1 ")
    assert (
        re.sub(" +", " ", row)
        == "1e-2 1 0.3 0.5 [0, 1] ✔ 98.3 100.0 [100, 100] ✔ 4.2 10.0 [10, 10] ✔ 0.2 65.0 [60, 70] ✘"
    )
    (row,) = lines(text, "1e-1  1 ")
    assert re.sub(" +", " ", row) == "1e-1 1 0.0 diverged ✘ 100.0 diverged ✘ 35.8 diverged · 0.7 diverged ✘"
    (row,) = lines(text, "1e-4  1 ")
    assert row.count("failed ✘") == 4
    assert lines(text, "not agreeing:") and lines(
        text, "  counter:1e-2:1, O_FT, C_Te 0: paper 0.2, ours 65.0 [60.0, 70.0]"
    )
    assert lines(text, "counter:1e-1:1: seed 1: training diverged at step 3") and lines(
        text, "max:1e-4:1: seed 0: a b; seed 1: c"
    )
    assert text.splitlines()[-2:] == [
        "counter: 3 of 7 decisive figures agree (43 %)",
        "max: 0 of 4 decisive figures agree (0 %)",
    ]
    assert lines(text, "O_PT accuracy 99.5 or more")


def test_the_terminals_table_is_aligned_and_no_wider_than_120() -> None:
    ours = [(100.0, 100.0, 100.0), (0.0, 0.0, 0.0), (3.0, 60.0, 70.0), (8.0, 9.0, 9.5)]
    cells = [
        compare(row, [dict.fromkeys(NAMES, value) for value in ours[i % len(ours)]]) for i, row in enumerate(TABLE.rows)
    ]
    text = show.to_text(TABLE, replace(FOUND, cells=tuple(cells)), RUN)
    assert max(map(len, text.splitlines())) <= 120
    rows = [row for row in text.splitlines() if re.match(r"1e-\d", row)]
    assert len(rows) == 24
    for table in (rows[:16], rows[16:]):
        for mark, times in ((r"\d\.\d", 8), (r" \[", 4), ("[✔✘·]", 4)):
            # From column 10 on: C_Tr has a decimal point of its own.
            (places,) = {tuple(m.start() for m in re.finditer(mark, row[10:])) for row in table}
            assert len(places) == times


def test_without_disagreements_there_is_no_list_of_them() -> None:
    good = replace(FOUND, cells=(cell("counter:1e-2:1", (0, 100, 10, 0)),))
    text, page = show.to_text(TABLE, good, RUN), show.to_markdown(TABLE, good, RUN)
    assert "not agreeing" not in text and "Not agreeing" not in page and "Without figures" not in page
    assert text.endswith("counter: 4 of 4 decisive figures agree (100 %)") and "max" not in text


def test_markdown_has_a_table_per_task_and_how_it_was_made() -> None:
    page = show.to_markdown(TABLE, FOUND, RUN)
    assert page.startswith("# Fidelity: table tracr (Jain et al.") and "**counter: 3 of 7" in page
    (row,) = lines(page, "| 1e-2 | 1 |")
    assert row.startswith(r"| 1e-2 | 1 | 0.3 | 0.5 \[0.0, 1.0] ✔ | 98.3 | 100.0 \[100.0, 100.0] ✔ | 4.2 | 10.0 ")
    assert row.endswith(r"| 0.2 | 65.0 \[60.0, 70.0] ✘ |")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        *("## counter", "## max", "## Not agreeing", "## Without figures", "## Run")
    ]
    assert "within 20 points" in page and lines(page, "command", "capbench fidelity --table tracr")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({row.count(" |") for row in table.splitlines()}) == 1


def test_json_holds_every_figure(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert show.write(TABLE, FOUND, RUN, folder) == [folder / "fidelity-tracr.json", folder / "fidelity-tracr.md"]
    assert sorted(p.name for p in folder.iterdir()) == ["fidelity-tracr.json", "fidelity-tracr.md"]  # no drafts left
    raw = json.loads((folder / "fidelity-tracr.json").read_text())
    assert (raw["schema"], raw["kind"], raw["table"]) == (1, "fidelity", "tracr") and raw["run"]["scale"] == "tiny"
    assert raw["base"] == {"counter": 99.5}
    assert raw["scores"][0] == {"task": "counter", "agree": 3, "decisive": 7}
    first, diverged, failed = raw["cells"]
    assert [first[key] for key in ("task", "lr", "rate", "c_tr", "diverged", "failed")] == [
        *("counter", "1e-2", "medium", 1, "", "")
    ]
    assert first["figures"]["ft_c0"] == {
        **{"paper": 0.2, "per_seed": [60, 70], "mean": 65, "interval": [60, 70]},
        **{"decisive": True, "agrees": False},
    }
    assert diverged["figures"]["pt_c0"] == {
        **{"paper": 35.8, "per_seed": [10, None], "mean": None, "interval": None},
        **{"decisive": False, "agrees": None},
    }
    assert diverged["diverged"] and not diverged["failed"] and failed["failed"]


def test_a_row_knows_its_selector() -> None:
    for row in TABLE.rows:
        assert isinstance(row, Row) and select(TABLE, [row.id]) == (row,)
