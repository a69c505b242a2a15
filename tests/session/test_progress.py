"""How far a run is: a line a minute where there is no terminal, a failure at once, and nothing of it if quiet."""

from __future__ import annotations

import sys
from collections.abc import Collection

import pytest

from capbench.session import progress
from capbench.session.progress import Lines, Making, Share


class Minutes:
    """A clock that a test sets, in minutes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: 60 * self.now)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)


def no_telling(failed: Collection[str]) -> None:
    return None


def test_there_is_a_line_a_minute_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(4, said.append, lambda failed: 60 * (4 - clock.now))
    making.saw(4, 2, {})
    for clock.now in (0.5, 0.9, 1.0, 1.5):
        making.trained()
    assert said == ["capbench: 0 of 4 models made, 2 running, about 3 min left"]
    clock.now = 2.2
    making.saw(2, 1, {})
    assert said[1:] == ["capbench: 2 of 4 models made, 1 running, about 2 min left"]


def test_where_there_is_no_telling_how_long_it_takes_nothing_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(1, said.append, no_telling)
    clock.now = 5
    making.saw(1, 1, {})
    assert said == ["capbench: 0 of 1 models made, 1 running"]


def test_a_training_in_this_process_is_running_though_it_is_only_seen_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(2, said.append, no_telling)
    making.saw(2, 0, {})
    clock.now = 1
    making.trained()
    assert said == ["capbench: 0 of 2 models made, 1 running"]


def test_a_failure_is_said_at_once_and_once_though_others_hang_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said, asked = Minutes(monkeypatch), [], []
    making = Making(3, said.append, asked.append)
    making.saw(2, 1, {"a": "'a' failed: boom"})
    making.saw(1, 1, {"a": "'a' failed: boom", "b": "'a' failed: boom"})
    assert said == ["capbench: failed: 'a' failed: boom"]
    clock.now = 1
    making.saw(1, 1, {"a": "'a' failed: boom", "b": "'a' failed: boom"})
    assert said[1:] == ["capbench: 0 of 3 models made, 1 running, 2 failed"]
    assert asked == [{"a", "b"}]  # they take no time any more


@pytest.mark.parametrize(("quiet", "noted"), [(False, ["1 of 2 models made, 1 running"]), (True, [])])
def test_on_a_terminal_the_same_is_noted_beside_the_bar(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, noted: list[str]
) -> None:
    clock, said, notes = Minutes(monkeypatch, terminal=True), [], []
    making = Making(2, said.append, no_telling, note=notes.append, quiet=quiet)
    clock.now = 0.1
    making.saw(1, 1, {})
    assert (said, notes) == ([], noted)


def test_if_quiet_only_failures_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Minutes(monkeypatch), []
    making = Making(2, said.append, no_telling, quiet=True)
    clock.now = 9
    making.trained()
    assert said == []
    making.saw(1, 0, {"a": "no"})
    assert said == ["capbench: failed: no"]


def test_of_equal_parts_those_that_are_done_tell_how_long_the_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Minutes(monkeypatch)
    share = Share(4)
    clock.now = 1
    assert share.left() is None
    share.add(1)
    assert share.left() == 180.0
    share.add(3)
    assert share.left() is None


def test_parts_of_unequal_length_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short part and then a long one: each minute of that would add three to the time left."""
    clock = Minutes(monkeypatch)
    share = Share(4)
    clock.now = 1
    share.add(1)
    clock.now = 2.9
    share.add(0)
    assert share.left() == pytest.approx(3 * 2.9 * 60)
    clock.now = 4
    assert share.left() is None
    share.add(1)
    assert share.left() == 240.0


@pytest.mark.parametrize(("minutes", "left"), [(0.1, "10 s"), (1.0, "60 s"), (59.0, "59 min"), (130.0, "2 h 10 min")])
def test_the_time_left_is_said_as_a_person_would(monkeypatch: pytest.MonkeyPatch, minutes: float, left: str) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "EVERY", 0.0)
    Minutes(monkeypatch)
    Lines(said.append, lambda: "half", lambda: 60 * minutes).advance()
    assert said == [f"capbench: half, about {left} left"]
