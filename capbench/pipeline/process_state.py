"""What code can change in the process that it runs in, so that it changes what others compute there.

Four parts: settings of torch, numpy and Python; hooks on all modules or optimizers; patched classes and functions; the global
random generators.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as _modules
from torch.optim import optimizer as _optimizers

from capbench.store.places import is_library

Access = tuple[Callable[[], Any], Callable[[Any], Any]]  # how to read and write


def _default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # a mode for the CPU would slow every call


def _environment() -> dict[str, str]:
    """Without what libraries set for themselves when a part of them is imported."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_LIBRARIES)}


_OF_LIBRARIES = ("TORCH", "PYTORCH", "TRITON", "KINETO")


def _set_environment(before: Mapping[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _flushes_denormals() -> bool:
    return not bool(torch.full((1,), 1e-40, dtype=torch.float32, device="cpu").mul(1.0).item())


def _flag(owner: object, name: str) -> Access:
    return (lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _autocast(kind: str) -> Access:
    def write(before: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(kind, before[0])
        torch.set_autocast_dtype(kind, before[1])

    return (lambda: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)), write)


_CUDA = torch.backends.cuda
_SETTINGS: dict[str, Access] = {
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_default_device": (torch.get_default_device, _default_device),
    "torch.set_flush_denormal": (_flushes_denormals, torch.set_flush_denormal),
    "torch.use_deterministic_algorithms": (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
    "torch.set_float32_matmul_precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch.autograd.set_detect_anomaly": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch.set_autocast_enabled('cpu')": _autocast("cpu"),
    "torch.set_autocast_enabled('cuda')": _autocast("cuda"),
    "torch.backends.mkldnn.enabled": (lambda: torch.backends.mkldnn.enabled, lambda v: torch._C._set_mkldnn_enabled(v)),
    "torch.backends.cudnn.enabled": _flag(torch.backends.cudnn, "enabled"),
    "torch.backends.cudnn.benchmark": _flag(torch.backends.cudnn, "benchmark"),
    "torch.backends.cudnn.deterministic": _flag(torch.backends.cudnn, "deterministic"),
    "torch.backends.cuda.enable_flash_sdp": (_CUDA.flash_sdp_enabled, _CUDA.enable_flash_sdp),
    "torch.backends.cuda.enable_math_sdp": (_CUDA.math_sdp_enabled, _CUDA.enable_math_sdp),
    "torch.backends.cuda.enable_mem_efficient_sdp": (_CUDA.mem_efficient_sdp_enabled, _CUDA.enable_mem_efficient_sdp),
    "numpy.seterr": (np.geterr, lambda before: np.seterr(**before)),
    "os.chdir": (os.getcwd, os.chdir),
    "os.environ": (_environment, _set_environment),
    "sys.setrecursionlimit": (sys.getrecursionlimit, sys.setrecursionlimit),
}


class Settings:
    """Settings of torch, numpy and Python at the time of its making."""

    def __init__(self) -> None:
        self._before = {name: read() for name, (read, _) in _SETTINGS.items()}

    def changed(self) -> list[str]:
        """Names of the functions or attributes by which settings were changed since."""
        return [name for name, (read, _) in _SETTINGS.items() if read() != self._before[name]]

    def restore(self) -> None:
        """Restore them."""
        for name in self.changed():
            _SETTINGS[name][1](self._before[name])


class Hooks:
    """The hooks on all modules and all optimizers at the time of its making."""

    def __init__(self) -> None:
        self._before = {name: dict(hooks) for name, hooks in _global_hooks().items()}

    def changed(self) -> list[str]:
        """Names of torch's lists of such hooks that were changed since."""
        return [name for name, hooks in _global_hooks().items() if dict(hooks) != self._before.get(name, {})]

    def restore(self) -> None:
        """Restore them."""
        for name, hooks in _global_hooks().items():
            hooks.clear()
            hooks.update(self._before.get(name, {}))


def _global_hooks() -> dict[str, dict[Any, Any]]:
    return {
        name: value
        for owner in (_modules, _optimizers)
        for name, value in vars(owner).items()
        if name.startswith("_global_") and isinstance(value, dict)
    }


@contextlib.contextmanager
def standard() -> Iterator[None]:
    """Compute as in a new process, whatever a conftest.py, a plugin or a test left in this one; afterwards that is back."""
    settings, hooks = Settings(), Hooks()
    for found in _global_hooks().values():
        found.clear()
    torch.set_grad_enabled(True)
    for name, value in _STANDARD.items():
        read, write = _SETTINGS[name]
        if read() != value:
            write(value)
    try:
        yield
    finally:
        hooks.restore()
        settings.restore()


_STANDARD: dict[str, Any] = {
    "torch.set_default_dtype": torch.float32,
    "torch.set_default_device": torch.device("cpu"),
    "torch.set_flush_denormal": False,
    "torch.use_deterministic_algorithms": (False, False),
    "torch.autograd.set_detect_anomaly": False,
    "torch.set_autocast_enabled('cpu')": (False, torch.bfloat16),
    "torch.set_float32_matmul_precision": "highest",
}


class Patches:
    """The functions of capbench and torch at the time of its making: those of modules, and those of classes."""

    def __init__(self) -> None:
        self._before = _functions()

    def changed(self) -> list[str]:
        """Dotted names of what was replaced since, or added to a class."""
        return sorted(f"{_dotted(owner)}.{name}" for owner, name in self._differing())

    def restore(self) -> None:
        """Restore them."""
        for owner, name in self._differing():
            if (owner, name) in self._before:
                setattr(owner, name, self._before[owner, name])
            else:
                delattr(owner, name)

    def _differing(self) -> set[tuple[Any, str]]:
        now, classes = _functions(), {owner for owner, _ in self._before if _is_class(owner)}
        added = {where for where in now.keys() - self._before.keys() if where[0] in classes}
        replaced = {where for where, value in self._before.items() if now.get(where) is not value}
        return {where for where in added | replaced if not _by_a_library(where[0], now.get(where))}


def _by_a_library(owner: Any, function: object, seen: frozenset[int] = frozenset()) -> bool:
    """Whether torch changed itself: it puts functions around those of optimizers when they are used.

    seen: the functions around this one; one that calls itself holds itself.
    """
    if _dotted(owner).startswith("capbench"):
        return False
    code = getattr(function, "__code__", None)
    if code is None or not any(map(is_library, Path(code.co_filename).parents)):
        return False
    inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _holds_something(cell)]
    seen = seen | {id(function)}
    parts = [part for part in inner if isinstance(part, types.FunctionType) and id(part) not in seen]
    return all(_by_a_library(owner, part, seen) for part in parts)


def _holds_something(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # empty
        return False


def _functions() -> dict[tuple[Any, str], Any]:
    """Everything callable that others use: (module or class, name) -> function or descriptor, as it lies there."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType)
        and (name.partition(".")[0] == "capbench" or name in _PATCHED or name.startswith(_PATCHED_BELOW))
    ]
    found: dict[tuple[Any, str], Any] = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == module.__name__:
                found |= {(value, inner): part for inner, part in vars(value).items() if _is_code(part)}
            elif isinstance(value, _CODE):
                found[module, name] = value
    return found


_PATCHED = (
    "torch",
    "torch._tensor",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils.clip_grad",
    "numpy",
    "random",
)
_PATCHED_BELOW = ("torch.nn.modules.", "torch.optim.", "torch.utils.data.")
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


def _is_code(value: object) -> bool:
    return isinstance(value, (*_CODE, classmethod, staticmethod, property)) and not isinstance(value, type)


def _is_class(owner: object) -> bool:
    return isinstance(owner, type)


def _dotted(owner: Any) -> str:
    return f"{owner.__module__}.{owner.__qualname__}" if _is_class(owner) else str(owner.__name__)


class Generators:
    """The states of the global random generators at the time of its making."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy: Any = np.random.get_state()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def changed(self) -> list[str]:
        """Names of those that were used or seeded since."""
        now = Generators()
        same = {
            "random": self._python == now._python,
            "numpy.random": all(np.array_equal(a, b) for a, b in zip(self._numpy, now._numpy, strict=True)),
            "torch": torch.equal(self._torch, now._torch),
            "torch.cuda": all(torch.equal(a, b) for a, b in zip(self._cuda, now._cuda, strict=False)),
        }
        return [name for name, unchanged in same.items() if not unchanged]

    def restore(self) -> None:
        """Restore them."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


class ProcessState:
    """All four parts at the time of its making."""

    def __init__(self) -> None:
        self.patches, self.hooks, self.settings, self.generators = Patches(), Hooks(), Settings(), Generators()

    def restore(self) -> None:
        """Restore everything."""
        for part in (self.patches, self.hooks, self.settings, self.generators):  # patches first: the others call torch
            part.restore()


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
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
