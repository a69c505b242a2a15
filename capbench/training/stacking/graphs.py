"""CUDA graphs: launch a step's hundreds of small kernels as one, which small models need on a large GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
_WARM_UP = 3  # calls before the capture, as torch's documentation recommends


class Captured(Generic[T]):
    """A function without arguments that always works on the same tensors; its next call overwrites the result.

    The first calls run normally (they are real work, not repeated); then it is captured and replayed. On the CPU all calls run
    normally.
    """

    def __init__(self, function: Callable[[], T], device: str) -> None:
        self._function, self._cuda = function, device.startswith("cuda")
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: T

    def __call__(self) -> T:
        if not self._cuda:
            return self._function()
        self.prepare()
        if self._graph is None:
            self._calls += 1
            side, current = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                result = self._function()
            current.wait_stream(side)
            return result
        self._graph.replay()
        return self._result

    def prepare(self) -> None:
        """Capture now if the next call would. Capturing takes memory but computes nothing: if it fails, nothing is half done."""
        if self._cuda and self._graph is None and self._calls >= _WARM_UP:
            graph = torch.cuda.CUDAGraph()
            # Only this thread: another one pins memory for the next batches meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._function()
            self._graph = graph
