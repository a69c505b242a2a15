"""Claims as benchmarks of pytest-benchmark: what each measures is timed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

BENCHMARK: pytest.StashKey[Any] = pytest.StashKey()  # of an item: its fixture, once it is used


def has_benchmarks(config: pytest.Config) -> bool:
    """Whether pytest-benchmark is there."""
    return config.pluginmanager.has_plugin("benchmark")


def benchmarked(request: pytest.FixtureRequest) -> Callable[[Callable[[], None]], None]:
    """A function that runs its argument once under pytest-benchmark."""

    def timed(work: Callable[[], None]) -> None:
        # Requested only now: pytest-benchmark warns about a fixture that is not used.
        benchmark = request.node.stash[BENCHMARK] = request.getfixturevalue("benchmark")
        if (
            found := request.config.pluginmanager.get_plugin("pytest-benchmark")
        ) is not None:  # only the last attempt counts
            found.benchmarks[:] = [other for other in found.benchmarks if other.fullname != benchmark.fullname]
        benchmark.pedantic(work, rounds=1, iterations=1)

    return timed


class ClaimsAreBenchmarks:
    """With --benchmark-only and --benchmark-skip, which go by the fixtures that tests name, claims are benchmarks too."""

    def __init__(self, config: pytest.Config) -> None:
        self._asked = config.getoption("benchmark_only", False) or config.getoption("benchmark_skip", False)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        claims = [item for item in items if {"judge", "variants"} & set(getattr(item, "fixturenames", ()))]
        lists: list[list[str]] = []  # the cases of a test share one
        for item in claims if self._asked else ():
            names: list[str] = item.fixturenames  # type: ignore[attr-defined]
            if "benchmark" not in names:
                names.append("benchmark")
                lists.append(names)
        try:
            return (yield)
        finally:
            for names in lists:
                names.remove("benchmark")
