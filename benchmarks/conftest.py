"""What all benchmarks share: a number of threads for each, one by default; and the description of the machine."""

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
    """The store waits for the disk, as in every run, even if the tests' conftest, in the same session, turns that off."""
    monkeypatch.setattr(os, "fsync", posix.fsync)


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads of torch during the benchmark: 1, as in every training of capbench, or the test's parameter.

    Freed memory is kept, as there: both sides of a comparison gain from it.
    """
    keep_memory()
    before = torch.get_num_threads()
    number = getattr(request, "param", 1)
    torch.set_num_threads(number)
    yield number
    torch.set_num_threads(before)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """The table takes the machine from here: what pytest-benchmark records of it holds names."""
    machine_info["capbench"] = MACHINE
