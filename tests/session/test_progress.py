"""How far a run is: a line a minute where there is no terminal, a failure at once, and nothing of it if quiet."""

from __future__ import annotations

import sys

import pytest

from capbench.session import progress
from capbench.session.progress import Lines, Making


class Minutes:
    """A clock that a test sets, in minutes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: 60 * self.now)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)


def test_there_is_a_line_a_minute_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(4, 100, said.append)
    making.saw(4, 2, {})
    for clock.now, steps in ((0.5, 10), (0.9, 10), (1.0, 5), (1.5, 10)):
        making.trained(steps)
    assert said == ["capbench: 0 of 4 models made, 2 running, about 3 min left"]  # 25 of 100 steps in a minute
    clock.now = 2.2
    making.saw(2, 1, {})
    assert said[1:] == ["capbench: 2 of 4 models made, 1 running, about 4 min left"]  # 35 steps in 2.2


def test_before_anything_is_done_there_is_no_telling_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(1, 100, said.append)
    clock.now = 5
    making.saw(1, 1, {})
    assert said == ["capbench: 0 of 1 models made, 1 running"]


def test_a_failure_is_said_at_once_and_once_though_others_hang_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(3, 100, said.append)
    making.saw(2, 1, {"a": "'a' failed: boom"})
    making.saw(1, 1, {"a": "'a' failed: boom", "b": "'a' failed: boom"})
    assert said == ["capbench: failed: 'a' failed: boom"]
    clock.now = 1
    making.saw(1, 1, {"a": "'a' failed: boom", "b": "'a' failed: boom"})
    assert said[1:] == ["capbench: 0 of 3 models made, 1 running, 2 failed"]


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (False, True)])
def test_on_a_terminal_and_if_quiet_only_failures_are_said(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool
) -> None:
    clock, said = Minutes(monkeypatch, terminal=terminal), []
    making = Making(2, 100, said.append, quiet=quiet)
    clock.now = 9
    making.trained(50)
    assert said == []
    making.saw(1, 0, {"a": "no"})
    assert said == ["capbench: failed: no"]


@pytest.mark.parametrize(("minutes", "left"), [(0.1, "10 s"), (1.0, "60 s"), (59.0, "59 min"), (130.0, "2 h 10 min")])
def test_the_time_left_is_said_as_a_person_would(monkeypatch: pytest.MonkeyPatch, minutes: float, left: str) -> None:
    clock, said = Minutes(monkeypatch), []
    lines = Lines(2, said.append, lambda: "half", quiet=False)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    clock.now = minutes
    lines.advance(1)
    assert said == [f"capbench: half, about {left} left"]
