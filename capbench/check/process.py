"""What a method could change in the process that it runs in: the global random state and torch's settings."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

# How to read and write each: whatever a method leaves here affects what is computed next.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_default_device": (torch.get_default_device, torch.set_default_device),
    "torch.use_deterministic_algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.set_float32_matmul_precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch.autograd.set_detect_anomaly": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
}


class ProcessState:
    """The state at the time of its making, which can be compared with the present one and restored."""

    def __init__(self) -> None:
        self._settings = {name: read() for name, (read, _) in _SETTINGS.items()}
        self._python = random.getstate()
        self._numpy: Any = np.random.get_state()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def changed_settings(self) -> list[str]:
        """Names of the functions by which torch's settings were changed since."""
        return [name for name, (read, _) in _SETTINGS.items() if read() != self._settings[name]]

    def changed_random(self) -> list[str]:
        """Names of the global random generators that were used or seeded since."""
        now = ProcessState()
        same = {
            "random": self._python == now._python,
            "numpy.random": all(np.array_equal(a, b) for a, b in zip(self._numpy, now._numpy, strict=True)),
            "torch": torch.equal(self._torch, now._torch),
            "torch.cuda": all(torch.equal(a, b) for a, b in zip(self._cuda, now._cuda, strict=False)),
        }
        return [name for name, unchanged in same.items() if not unchanged]

    def restore(self) -> None:
        """Restore everything."""
        for name in self.changed_settings():
            _SETTINGS[name][1](self._settings[name])
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


@contextlib.contextmanager
def unharmed() -> Iterator[ProcessState]:
    """Undo, after the block, whatever it did to the process."""
    before = ProcessState()
    try:
        yield before
    finally:
        before.restore()


def seed_everything(seed: int) -> None:
    """Seed all global generators: a method whose result then differs uses one of them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
