"""Loggers: which points they are told and when, what becomes of one that fails, and what is refused before a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_example import example
from tiny_study import BASE, START, revived

from capbench.errors import UsageError
from capbench.pipeline import snapshots
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.results import Results
from capbench.session.loggers.base import Loggers, Points
from capbench.session.loggers.find import find
from capbench.session.loggers.following import EVERY, Following, model_name
from capbench.session.loggers.following import time as clock
from capbench.store.store import Store

REVIVAL = revived(BASE)


class Kept:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, str], list[tuple[int, float]]] = {}
        self.calls = 0
        self.ended: list[Results] = []

    def curve(self, model: str, name: str, points: Points) -> None:
        self.calls += 1
        self.points.setdefault((model, name), []).extend(points)

    def end(self, results: Results) -> None:
        self.ended.append(results)


class Breaks(Kept):
    def curve(self, model: str, name: str, points: Points) -> None:
        raise ConnectionError("no\nserver")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def made(store: Store, step: Step, **meta: Any) -> None:
    store.save(step.key, kind=type(step).__name__, config=step.config, tensors={}, meta=meta)


def keep(store: Store, step: Step, number: int, points: list[list[float]]) -> None:
    """As if a training of a step that goes on had been saved."""
    place = store.root / "partial" / step.key
    place.mkdir(parents=True, exist_ok=True)
    document = {"steps": 1, "watched": {"points": {"O_PT": points}}}
    (place / f"{number}.snapshot").write_bytes(snapshots._line(document) + b"weights")


def test_points_are_told_once_while_a_model_is_trained_and_when_it_is_done(store: Store) -> None:
    logger, said = Kept(), []
    following = Following(Plan([REVIVAL]), store, Loggers([("mine", logger)]), say=said.append)
    following.look()
    assert logger.points == {}
    keep(store, BASE, 0, [[0, 0.1], [2, 0.2]])
    following.look()
    whose = (model_name(BASE), "O_PT")
    assert logger.points == {whose: [(0, 0.1), (2, 0.2)]}
    keep(store, BASE, 1, [[0, 0.1], [2, 0.2], [4, 0.5]])  # a second training goes on with the curve
    following.look()
    following.look()
    assert logger.points == {whose: [(0, 0.1), (2, 0.2), (4, 0.5)]} and logger.calls == 2
    made(store, START)
    made(store, BASE, curves={"O_PT": [[0, 0.1], [2, 0.2], [4, 0.5], [6, 0.9]]}, loss=[[6, 1.5]])
    following.look()
    assert logger.points[whose][3:] == [(6, 0.9)] and logger.points[whose[0], "loss"] == [(6, 1.5)]
    assert not said


def test_models_of_the_cache_are_told_as_those_that_are_made(store: Store) -> None:
    made(store, START)
    made(store, BASE, curves={"O_PT": [[0, 0.1]]})
    logger = Kept()
    Following(Plan([BASE]), store, Loggers([("mine", logger)]), say=print).look()
    assert logger.points == {(model_name(BASE), "O_PT"): [(0, 0.1)]}


def test_it_looks_now_and_then_and_not_at_all_without_a_logger(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    logger = Kept()
    following = Following(Plan([BASE]), store, Loggers([("mine", logger)]), say=print)
    following.now_and_then()
    keep(store, BASE, 0, [[0, 0.1]])
    for now[0], calls in ((EVERY - 1, 0), (EVERY, 1)):
        following.now_and_then()
        assert logger.calls == calls
    monkeypatch.setattr(store, "has", None)  # would be called
    Following(Plan([BASE]), store, Loggers(), say=print).look()


def test_a_logger_that_fails_is_named_once_and_costs_nothing_else(store: Store) -> None:
    keep(store, BASE, 0, [[0, 0.1]])
    logger, said = Kept(), []
    loggers = Loggers([("--capbench-log=bad.py:Log", Breaks()), ("mine", logger)])
    following = Following(Plan([BASE]), store, loggers, say=said.append)
    following.look()
    keep(store, BASE, 0, [[0, 0.1], [2, 0.2]])
    following.look()
    loggers.end(example(), say=said.append)
    (words,) = said
    assert words.startswith(
        "capbench: warning: --capbench-log=bad.py:Log failed and will not be called again: ConnectionError: no"
    )
    assert "\n" not in words and logger.calls == 2 and logger.ended == [example()]


MINE = """
class Log:
    def curve(self, model, name, points): pass
    def end(self, results): pass
class Half:
    def end(self, results): pass
def fails(): raise ValueError("no\\nkey")
"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("tensorboard:", "a folder is missing; give tensorboard:DIR"),
        ("wandb", "must be tensorboard:DIR, file.py:attr or pkg.mod:attr"),
        ("nowhere.py:Log", "there is no file 'nowhere.py' here"),
        ("no_such_module:Log", "ModuleNotFoundError"),
        ("mine.py:Other", "there is no 'Other' in it"),
        ("mine.py:Half", "gives a Half without curve"),
        ("mine.py:fails", "ValueError: no key"),
    ],
)
def test_what_is_no_logger_is_refused_in_one_line(
    given: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    with pytest.raises(UsageError) as refused:
        find("--capbench-log", given, "a run")
    said = str(refused.value)
    assert said.startswith(f"--capbench-log={given}: ") and words in said and "\n" not in said


def test_a_class_of_a_file_is_a_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    assert type(find("--capbench-log", "mine.py:Log", "a run")).__name__ == "Log"


def test_tensorboard_is_asked_for_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capbench.session.loggers.find.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'capbench\[tensorboard\]'"):
        find("--capbench-log", "tensorboard:runs", "a run")


def test_tensorboard_reads_the_curves_and_the_verdicts_that_were_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = find("--capbench-log", f"tensorboard:{tmp_path / 'runs'}", "a run")
    logger.curve("fine-tune a to b (3f2a)", "O_PT", [(0, 1.0), (50, 0.25)])
    for i in range(9):  # more than stay open
        logger.curve(f"other {i}", "O_PT", [(i, 0.5)])
    logger.curve("fine-tune a to b (3f2a)", "O_PT", [(100, 0.125)])
    logger.end(example())

    def read(run: str) -> Any:
        found = EventAccumulator(str(tmp_path / "runs" / "a run" / run))
        found.Reload()
        return found

    points = [(point.step, point.value) for point in read("fine-tune_a_to_b_(3f2a)").Scalars("O_PT")]
    assert sorted(points) == [(0, 1.0), (50, 0.25), (100, 0.125)]
    assert [[p.step for p in read(f"other_{i}").Scalars("O_PT")] for i in range(9)] == [[i] for i in range(9)]
    verdicts, run = read("verdicts"), example()
    margins = {r.id: r.verdict.margin for r in run.records if r.verdict.margin is not None}
    written = [tag for tag in verdicts.Tags()["scalars"] if tag.startswith("margin/")]
    assert len(written) == len(margins)
    record = next(r for r in run.records if r.id in margins)
    (tag,) = (tag for tag in written if tag.startswith(f"margin/{record.id}"))
    assert verdicts.Scalars(tag)[0].value == pytest.approx(margins[record.id])
    assert any(tag.startswith("verdict/") for tag in verdicts.Tags()["tensors"])
