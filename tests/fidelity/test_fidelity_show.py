"""How the paper's tables beside ours are shown: in the terminal, as Markdown, as JSON. Nothing is trained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fidelity_cells import NAMES, PCFG, TABLE, cell

from capbench.fidelity import show
from capbench.fidelity.compare import compare
from capbench.fidelity.run import Replication
from capbench.results import RunInfo
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.tracr import preset as tracr

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
FOUND = Replication(cells=CELLS, base={"counter": 99.5}, preset=tracr.small())


def lines(text: str, *parts: str) -> list[str]:
    return [line for line in text.splitlines() if all(part in line for part in parts)]


def test_the_terminal_shows_each_figure_beside_the_papers() -> None:
    text = show.to_text(TABLE, FOUND, RUN)
    assert "scale tiny, 2 seeds (0, 1), method full" in text.splitlines()[0]
    (row,) = lines(text, "1e-2  1 ")
    assert (
        re.sub(" +", " ", row)
        == "1e-2 1 0.3 0.5 [0, 24] ✔ 98.3 100.0 [98, 100] ✔ 4.2 10.0 [2, 28] ✔ 0.2 65.0 [10, 98] ✘"
    )
    (row,) = lines(text, "1e-1  1 ")
    assert re.sub(" +", " ", row) == "1e-1 1 0.0 diverged ✘ 100.0 diverged ✘ 35.8 diverged · 0.7 diverged ✘"
    (row,) = lines(text, "1e-4  1 ")
    assert row.count("failed ✘") == 4
    assert lines(text, "not agreeing:") and lines(
        text, "  counter:1e-2:1, O_FT, C_Te 0: paper 0.2, ours 65.0 [9.6, 98.2]"
    )
    assert lines(text, "counter:1e-1:1: seed 1: training diverged at step 3") and lines(
        text, "max:1e-4:1: seed 0: a b; seed 1: c"
    )
    # Counter: paper .3 98.3 4.2 .2 and 0 100 (35.8) .7; a compiled model has 100, 0, 100 and no figure for the last. Column means
    # are 9.1 82.9 12.0 41.4, and of Max 10.5 54.9 9.4 53.3 beside 0 90.2 .7 88.6.
    assert text.splitlines()[-6:] == [
        "counter: 3 of 7 decisive figures agree (43 %)",
        "max: 0 of 4 decisive figures agree (0 %)",
        "counter, nothing changes: 0 of 5, ours 3, skill 0.60; where the paper moves: 0 of 5, ours 3, skill 0.60",
        "counter, column means: 5 of 7, ours 3, skill -1.00; where the paper moves: 5 of 5, ours 3, skill \N{EN DASH}",
        "max, nothing changes: 0 of 3, ours 0, skill 0.00; where the paper moves: 0 of 3, ours 0, skill 0.00",
        "max, column means: 2 of 4, ours 0, skill -1.00; where the paper moves: 2 of 3, ours 0, skill -2.00",
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
    assert "counter: 4 of 4 decisive figures agree (100 %)" in text.splitlines() and "max" not in text


def test_markdown_has_a_table_per_task_and_how_it_was_made() -> None:
    page = show.to_markdown(TABLE, FOUND, RUN)
    assert page.startswith("# Fidelity: table tracr (Jain et al.") and "**counter: 3 of 7" in page
    (row,) = lines(page, "| 1e-2 | 1 |")
    assert row.startswith(r"| 1e-2 | 1 | 0.3 | 0.5 \[0.0, 24.3] ✔ | 98.3 | 100.0 \[98.3, 100.0] ✔ | 4.2 | 10.0 ")
    assert row.endswith(r"| 0.2 | 65.0 \[9.6, 98.2] ✘ |")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        *("## Against a guess", "## counter", "## max", "## Not agreeing", "## Without figures", "## Run")
    ]
    assert "within 20 points" in page and lines(page, "command", "capbench fidelity --table tracr")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({row.count(" |") for row in table.splitlines()}) == 1


def test_json_holds_every_figure(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert show.write(TABLE, FOUND, RUN, folder) == [folder / "fidelity-tracr.json", folder / "fidelity-tracr.md"]
    assert sorted(p.name for p in folder.iterdir()) == ["fidelity-tracr.json", "fidelity-tracr.md"]  # no drafts left
    raw = json.loads((folder / "fidelity-tracr.json").read_text())
    assert (raw["schema"], raw["kind"], raw["table"]) == (2, "fidelity", "tracr") and raw["run"]["scale"] == "tiny"
    assert raw["base"] == {"counter": 99.5}
    assert [raw["scores"][0][key] for key in ("task", "agree", "decisive")] == ["counter", 3, 7]
    assert raw["scores"][0]["baselines"]["nothing changes"] == {"judged": 5, "agree": 0, "ours": 3, "skill": 0.6}
    assert raw["steps"] == {"fine-tuning": {"here": 10_000, "paper": 10_000}}
    first, diverged, failed = raw["cells"]
    assert [first[key] for key in ("task", "lr", "rate", "eta", "c_tr", "diverged", "failed", "unmade")] == [
        *("counter", "1e-2", "medium", 0.01, 1, "", "", "")
    ]
    assert first["figures"]["ft_c0"] == {
        **{"paper": 0.2, "per_seed": [60, 70], "mean": 65, "interval": [9.5764, 98.2206]},
        **{"decisive": True, "agrees": False},
    }
    assert diverged["figures"]["pt_c0"] == {
        **{"paper": 35.8, "per_seed": [10, None], "mean": None, "interval": None},
        **{"decisive": False, "agrees": None},
    }
    assert diverged["diverged"] and not diverged["failed"] and failed["failed"]


# ---- a table of more columns, at another scale, and not all of it made

VALUES = (100, 10, 10, 15, 0, 27, 99, 90, 70, 95)
PART = Replication(
    cells=(
        cell("low:1e-4:0", VALUES, VALUES, table=PCFG),
        cell("low:1e-4:1", (*VALUES[:6], None, 90, 70, 95), VALUES, table=PCFG),  # no such point in the curve
        cell("high:1e-5:0.5", (0,) * 10, (0.4,) * 10, table=PCFG),
        cell("high:1e-6:1", VALUES, None, table=PCFG, unmade="seed 1: not made yet"),
    ),
    base={"low": 99.0, "high": 98.0},
    preset=pcfg.small(),
)
PCFG_RUN = replace(RUN, run_id="fidelity-pcfg-counting", command="capbench fidelity --table pcfg-counting")


def squeezed(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


def test_the_terminal_has_a_table_per_prior_and_operand() -> None:
    text = squeezed(show.to_text(PCFG, PART, PCFG_RUN))
    assert [line for line in text if re.match("prior (low|high)(:|$)", line)] == [
        *("prior low", "prior high"),
        "prior low: 14 of 16 decisive figures agree (88 %)",
        "prior high: 0 of 9 decisive figures agree (0 %)",
    ]
    rows = [line for line in text if re.match(r"1e-\d ", line)]
    assert rows == [
        "1e-4 large 0 100.0 100.0 ✔ 9.7 10.0 ✔ 9.5 10.0 ✔ 14.5 15.0 ✔ 0.0 0.0 ✔",
        "1e-4 large 1 100.0 100.0 ✔ 17.2 10.0 ✔ 15.2 10.0 ✔ 0.2 15.0 ✔ 0.0 0.0 ✔",
        "1e-4 large 0 27.1 27.0 · 99.4 99.0 ✔ 100.0 90.0 ✔ 74.9 70.0 · 87.5 95.0 ✔",
        "1e-4 large 1 27.1 27.0 · 0.0 – · 1.6 90.0 ✘ 98.9 70.0 ✘ 100.0 95.0 ✔",
        "1e-5 medium 0.5 100.0 0.2 ✘ 99.9 0.2 ✘ 94.1 0.2 ✘ 98.1 0.2 ✘ 69.0 0.2 ·",
        "1e-6 small 1 99.9 not yet · 100.0 not yet · 97.6 not yet · 98.6 not yet · 85.1 not yet ·",
        "1e-5 medium 0.5 99.9 0.2 ✘ 100.0 0.2 ✘ 100.0 0.2 ✘ 99.3 0.2 ✘ 100.0 0.2 ✘",
        "1e-6 small 1 99.9 not yet · 99.8 not yet · 73.9 not yet · 98.3 not yet · 100.0 not yet ·",
    ]
    assert "high:1e-5:0.5, O_PT, C_Te 0, after a tenth: paper 99.9, ours 0.2 [0.0, 4.8]" in text
    assert text[-1] == "3 of 4 rows are made; run the same command again for the others"


def test_what_differs_from_the_paper_is_said() -> None:
    preset = pcfg.small()
    text, page = show.to_text(PCFG, PART, PCFG_RUN), show.to_markdown(PCFG, PART, PCFG_RUN)
    notes = (
        f"pretraining: {preset.pretrain_steps} steps; the paper's figures are after 200000",
        f"fine-tuning: {preset.finetune_steps} steps; the paper's figures are after 10000",
        f"1e-4 large is {preset.rates['large']:g}",
        f"after a tenth: after {preset.finetune_steps // 10} of {preset.finetune_steps} steps",
        "– not recorded by the method",
    )
    for note in notes:
        assert note in text and note in page
    assert lines(page, "| pretraining |", f"{preset.pretrain_steps} steps (paper: 200000)")
    as_paper = replace(PART, cells=PART.cells[:1], preset=pcfg.paper())
    text = show.to_text(PCFG, as_paper, PCFG_RUN)
    assert "steps; the paper" not in text and "lr here" not in text and "1e-4 large" not in text
    assert "after 1000 of 10000 steps" in text and "recorded" not in text and "rows are made" not in text
    shorter = replace(as_paper, preset=replace(pcfg.paper(), pretrain_steps=50_000))
    assert "pretraining: 50000 steps; the paper's figures are after 200000" in show.to_text(PCFG, shorter, PCFG_RUN)


@pytest.mark.parametrize("why", [{}, {"diverged": "seed 0: x"}, {"failed": "seed 0: x"}, {"unmade": "seed 0: x"}])
def test_many_columns_are_no_wider_than_120(why: dict[str, str]) -> None:
    ours = [(100.0,) * 10, (100.0,) * 10, (99.0,) * 10]
    cells = [cell(row.id, *([None] if why and i % 2 else ours), table=PCFG, **why) for i, row in enumerate(PCFG.rows)]
    text = show.to_text(PCFG, replace(PART, cells=tuple(cells)), PCFG_RUN)
    assert max(map(len, text.splitlines())) <= 120
    assert len([row for row in text.splitlines() if re.match(r"1e-\d", row)]) == 48


def test_markdown_and_json_of_the_larger_table(tmp_path: Path) -> None:
    page = show.to_markdown(PCFG, PART, PCFG_RUN)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        *("## Against a guess", "## prior low", "## prior high", "## Not agreeing", "## Run")
    ]
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({row.count(" |") for row in table.splitlines()}) == 1
    assert len(lines(page, "| 1e-4 large | 0 |")) == 2 and lines(page, "| 99.9 | 0.2 \\[0.0, 4.8] ✘ |")
    assert lines(page, "- 3 of 4 rows are made")
    show.write(PCFG, PART, PCFG_RUN, tmp_path)
    assert (tmp_path / "fidelity-pcfg-counting.md").read_text() == page
    raw = json.loads((tmp_path / "fidelity-pcfg-counting.json").read_text())
    assert raw["steps"]["pretraining"] == {"here": pcfg.small().pretrain_steps, "paper": 200_000}
    assert [(s["prior"], s["agree"], s["decisive"]) for s in raw["scores"]] == [("low", 14, 16), ("high", 0, 9)]
    unmade = raw["cells"][-1]
    assert [unmade[key] for key in ("prior", "lr", "rate", "eta", "unmade")] == [
        *("high", "1e-6", "small", pcfg.small().rates["small"], "seed 1: not made yet")
    ]
    assert unmade["figures"]["pt_c0_1k"]["per_seed"] == [10, None] and unmade["figures"]["pt_c0_1k"]["mean"] is None
    unrecorded = raw["cells"][1]["figures"]["ft_c0_1k"]
    assert (unrecorded["per_seed"], unrecorded["decisive"], unrecorded["agrees"]) == ([None, 99], True, None)
