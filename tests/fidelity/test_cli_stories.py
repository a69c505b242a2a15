"""`capbench fidelity --table stories`, through `main`, with models that are hardly trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_stories
from cli_runs import in_folder, report, run

from capbench.studies.stories import preset as stories


def test_the_table_of_stories(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder(tmp_path, monkeypatch)
    monkeypatch.setitem(stories.PRESETS, "tiny", lambda: replace(tiny_stories.TINY))  # type: ignore[attr-defined]
    asked = ("fidelity", "--table", "stories", "--scale", "tiny", "--seeds", "1", "--jobs", "1", "--cache", "cache")
    ended = run(capsys, *asked, "--cells", "F+RR:medium", "--cells", "never", "--pretrain-steps", "1", "--report", ".")
    assert ended.code == 0
    raw = report(tmp_path, "stories")
    assert [(c["protocol"], c["lr"], c["eta"]) for c in raw["cells"]] == [("F+RR", "1e-4", 3e-4), ("never", "", None)]
    assert raw["steps"]["pretraining"] == {"here": 1, "paper": 30_000}
    figures = [figure for cell in raw["cells"] for figure in cell["figures"].values()]
    assert len(figures) == 8 and all(figure["per_seed"][0] in (0, 50, 100) for figure in figures)  # of two stories
    assert [figure["decisive"] for figure in figures] == [True, False, False, False, True, False, False, True]
    page = tmp_path.joinpath("fidelity-stories.md").read_text()
    for words in ("C_Tr", "C_Te"):
        assert words not in ended.out and words not in page
    assert "steps of reFT here for the paper's: 1 for 30, 2 for 300, 3 for 3000" in page
    assert "stories that are asked for with one, on every seed" in page and "1e-4 medium" in page

    ended = run(capsys, *asked, "--cells", "F:1e-4:1")
    assert ended.code == 2 and "must be protocol or protocol:lr, as in F:1e-4" in ended.err
    ended = run(capsys, *asked, "--cells", "never:1e-4")
    assert ended.code == 2 and "no lr '1e-4' in the table; known: none" in ended.err
