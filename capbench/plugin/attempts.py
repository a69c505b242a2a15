"""Which attempts are at the same test. Plugins run a test again (pytest-rerunfailures), or make repetitions its cases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

_TEST: pytest.StashKey[str] = pytest.StashKey()  # of an item


def number_tests(items: Iterable[pytest.Item]) -> None:
    """Give all attempts at a test one name, which is the same in every process that collects these items."""
    found: dict[str, dict[object, int]] = {}
    for item in items:
        parent = item.parent.nodeid if item.parent is not None else ""
        function = f"{item.location[0]}::{parent}::{getattr(item, 'originalname', item.name)}"
        cases = found.setdefault(function, {})
        case = frozenset((name, id(value)) for name, value in _parameters(item).items() if not _repeats(name))
        item.stash[_TEST] = f"{function}, case {cases.setdefault(case, len(cases))}"


def test_of(item: pytest.Item) -> str:
    """The name of the test that this is an attempt at."""
    return item.stash.get(_TEST, item.nodeid)


def attempt_of(item: pytest.Item) -> int:
    """Which of the repetitions of a test an item is, from 0, where a plugin makes them its cases; otherwise 0."""
    return max((int(value) for name, value in _parameters(item).items() if _repeats(name)), default=0)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


def _repeats(parameter: str) -> bool:
    """Whether a parameter counts repetitions: pytest-repeat and pytest-flakefinder name theirs so that no test can."""
    return parameter.startswith(("__pytest_repeat_", "__flakefinder_"))
