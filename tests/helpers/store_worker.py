"""Child processes of test_store.py: they build at the same time, hold a lock, or die in the middle of a save."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from capbench.store.store import Store


def build(store: Store, key: str, log: str) -> None:
    """Wait for a line on stdin, then get_or_build; every build appends a line to `log`."""
    import torch

    def slowly() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)  # long enough for the other process to arrive
        return {"x": torch.arange(4)}, {"builder": os.getpid()}

    print("ready", flush=True)
    sys.stdin.readline()
    artefact = store.get_or_build(key, slowly, kind="test", config={})
    print(artefact.meta["builder"], artefact.tensors["x"].tolist(), flush=True)


def hold(store: Store, key: str) -> None:
    """Hold the key's lock until killed."""
    with store.lock(key):
        print("held", flush=True)
        time.sleep(600)


def die(store: Store, prefix: str) -> None:
    """Fork children that save, each killed at another system call or in the middle of a write; print how each ended.

    Child n has the key f"{prefix}-{n}". The last one outlives its save, so every moment has been tried.
    """
    import torch

    def save(n: int, hazard: Callable[[int], None], argument: int) -> None:
        tensors = {"x": torch.arange(1000)}
        hazard(argument)
        store.save(f"{prefix}-{n}", kind="test", config={}, tensors=tensors, meta={"n": n})

    # RLIMIT_FSIZE ends a process within write(): here after 0 bytes, then 100 of each file's.
    for n, limit in enumerate((0, 100)):
        print(n, _ended(partial(save, n, _limit_file_size, limit)), flush=True)
    for n in range(2, 100):
        ended = _ended(partial(save, n, _kill_at_call, n - 2))
        print(n, ended, flush=True)
        if ended == 0:
            break


def _ended(action: Callable[[], object]) -> int:
    """The exit code of a forked child that runs `action`, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _limit_file_size(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _kill_at_call(n: int) -> None:
    """kill -9 this process before or after one of its calls of fsync, rename and mkdir (n counts both moments)."""
    moments = 0

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def moment() -> None:
            nonlocal moments
            if moments == n:
                os.kill(os.getpid(), signal.SIGKILL)
            moments += 1

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            moment()
            result = call(*args, **kwargs)
            moment()
            return result

        return wrapper

    for name in ("fsync", "rename", "mkdir"):
        setattr(os, name, watched(getattr(os, name)))


if __name__ == "__main__":
    name, root, *arguments = sys.argv[1:]
    actions: dict[str, Callable[..., None]] = {"build": build, "hold": hold, "die": die}
    actions[name](Store(Path(root)), *arguments)
