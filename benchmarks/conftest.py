"""What all benchmarks share: a number of threads for each, one where nothing else is said; and the machine's words."""

from __future__ import annotations

import os
import posix
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from speed.machine import machine

from capbench.pipeline.cores import keep_memory

MACHINE = machine()  # with the commit that the benchmarks begin on: pytest-benchmark asks at their end


@pytest.fixture(autouse=True)
def durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store waits for the disk, as in every run, even if the tests' conftest, in the same session, has it not wait."""
    monkeypatch.setattr(os, "fsync", posix.fsync)


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads of torch during the benchmark: 1, as in every training of capbench, or the test's parameter.

    Memory that is freed is kept, too, as there: both sides of a comparison gain from it.
    """
    keep_memory()
    before = torch.get_num_threads()
    number = getattr(request, "param", 1)
    torch.set_num_threads(number)
    yield number
    torch.set_num_threads(before)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """The table takes the machine from here: the rest of what pytest-benchmark tells has names in it."""
    machine_info["capbench"] = MACHINE
