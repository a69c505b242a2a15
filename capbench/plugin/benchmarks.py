"""Claims as benchmarks of pytest-benchmark: what each measures is timed, and the table of times is shown if asked for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator
from typing import Any

import pytest

BENCHMARK: pytest.StashKey[Any] = pytest.StashKey()  # of an item: its fixture, once it is used
TIMED: pytest.StashKey[set[str]] = (
    pytest.StashKey()
)  # of the configuration: pytest-benchmark's names of the timed claims


def has_benchmarks(config: pytest.Config) -> bool:
    """Whether pytest-benchmark is there."""
    return config.pluginmanager.has_plugin("benchmark")


def benchmarked(request: pytest.FixtureRequest) -> Callable[[Callable[[], None]], None]:
    """A function that runs its argument under pytest-benchmark; from the second time on, at further seeds, without it."""

    def timed(work: Callable[[], None]) -> None:
        # Requested only now: pytest-benchmark warns about a fixture that is not used.
        benchmark = request.getfixturevalue("benchmark")
        if request.node.stash.get(BENCHMARK, None) is benchmark:  # which times one piece of work only
            return work()
        request.node.stash[BENCHMARK] = benchmark
        request.config.stash.setdefault(TIMED, set()).add(benchmark.fullname)
        if (
            found := request.config.pluginmanager.get_plugin("pytest-benchmark")
        ) is not None:  # only the last attempt counts
            found.benchmarks[:] = [other for other in found.benchmarks if other.fullname != benchmark.fullname]
        benchmark.pedantic(work, rounds=1, iterations=1)

    return timed


def times_wanted(config: pytest.Config) -> bool:
    """Whether the command line, the environment or the configuration file holds an option of pytest-benchmark."""
    words = [*map(str, config.invocation_params.args), *config.getini("addopts")]
    words += shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    return any(word.startswith("--benchmark-") for word in words)


class ClaimsAreBenchmarks:
    """With --benchmark-only and --benchmark-skip, which go by the fixtures that tests name, claims are benchmarks too.

    In pytest-benchmark's table, which gives each claim 220 columns for its only round, they stand where one of its options is
    given. Other benchmarks always do.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._shown = times_wanted(config)
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

    @pytest.hookimpl(wrapper=True)
    def pytest_benchmark_group_stats(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """What the table shows; the files of pytest-benchmark are made from all benchmarks."""
        groups = yield
        if self._shown:
            return groups
        claims = config.stash.get(TIMED, set())
        kept = [(name, [bench for bench in found if bench["fullname"] not in claims]) for name, found in groups]
        return [(name, found) for name, found in kept if found]
