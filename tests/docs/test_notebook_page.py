"""docs/notebook.md: its blocks run one after another on the run that is kept, and its loggers are told what a run tells them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from guide_blocks import blocks
from report_example import example

from capbench.session.loggers.find import find

ROOT = Path(__file__).parents[2]
BLOCKS = [block for block in blocks((ROOT / "docs" / "notebook.md").read_text("utf-8")) if block.language == "python"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        if block.file:
            Path(block.file).write_text(block.body + "\n")
    return tmp_path


def test_the_blocks_of_the_notebook_run_one_after_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.joinpath("reports").symlink_to(ROOT / "reports")
    names: dict[str, Any] = {}
    for block in BLOCKS:
        if not block.file:
            exec(compile(block.body, f"notebook.md, line {block.line}", "exec"), names)
    said = capsys.readouterr().out
    assert "the old capability" in said.splitlines()[0] and "2 deleted; " in said and "'revival'" in said
    assert (folder / "revival.png").stat().st_size > 10_000


def test_mlflow_gets_names_that_it_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes letters, digits, and _ - . / and spaces only (mlflow.utils.validation)."""
    logged: dict[str, float] = {}
    tags: dict[str, str] = {}
    mlflow = SimpleNamespace(
        log_metric=lambda name, value, step: logged.update({name: value}),
        log_metrics=logged.update,
        set_tags=tags.update,
    )
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    logger = find("--capbench-log", "mlflow_log.py:Log", "a run")
    logger.curve("fine-tune a to b (3f2a)", "O_PT", [(0, 1.0), (5, 0.5)])
    logger.end(example())
    margins = [r for r in example().records if r.verdict.margin is not None]
    assert logged["fine-tune a to b  3f2a /O_PT"] == 0.5 and len(logged) == 1 + len(margins)
    assert [name for name in (*logged, *tags) if not re.fullmatch(r"[\w ./-]+", name)] == []
    assert len(tags) == len(example().capabilities)


def test_wandb_gets_each_curve_over_its_own_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, float]] = []
    summary: dict[str, Any] = {}
    ended: list[bool] = []
    run = SimpleNamespace(
        define_metric=lambda name, step_metric: logged.append({name: step_metric}),
        log=logged.append,
        summary=summary,
        finish=lambda: ended.append(True),
    )
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda project: run))
    logger = find("--capbench-log", "wandb_log.py:Log", "a run")
    logger.curve("a", "O_PT", [(5, 0.5)])
    logger.end(example())
    assert logged == [{"*": "training step"}, {"a/O_PT": 0.5, "training step": 5}] and ended == [True]
    assert len(summary) == len(example().records) + len(example().capabilities)
