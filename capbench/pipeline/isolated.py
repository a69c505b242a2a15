"""Calling a user's method in a process of its own: whatever it does to that process, nothing else is computed there.

The process is new for every call; the calls whose trainings are stacked share one. It sends back bytes: progress, and weights,
metadata and answers as a line of JSON and a safetensors file. Importing this module does not import the user's code.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capbench.errors import MethodError
from capbench.methods.specs.user_code import one_line
from capbench.pipeline import processes
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors.base import died, why
from capbench.pipeline.process_state import seed_everything
from capbench.pipeline.recording import Progress
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store

if TYPE_CHECKING:
    from capbench.pipeline.fine_tuning import Handed

_POLL = 0.2  # seconds between looks at the clock
_ALL = -1  # in place of a step's index
_TICKS = 10  # training steps reported at once
_LIVES = 2  # a process that dies is started once more: it may have been the machine's fault


def called_apart(
    steps: Sequence[FineTune], store: Store, progress: Progress, *, most: int = 1
) -> list[Handed | Exception]:
    """What the method of these steps returns for each, or why it did not; all are called in one new process.

    most: how many trainings may be stacked. progress: called with the training steps done since its last call, and now and then
    with 0; what it raises ends the process. The caller holds the steps' locks.
    """
    for _ in range(_LIVES):
        found = _once(steps, store, progress, most)
        if len(found) == len(steps):
            return [found[i] for i in range(len(steps))]
    return [found.get(i, MethodError(died(step.label))) for i, step in enumerate(steps)]


def _once(steps: Sequence[FineTune], store: Store, progress: Progress, most: int) -> dict[int, Handed | Exception]:
    """Index of a step -> what came back of it, until the process ended."""
    context = processes.context()
    line, far_end = context.Pipe()
    process = context.Process(target=_serve, args=(far_end,), name="capbench method")
    process.start()
    far_end.close()
    found: dict[int, Handed | Exception] = {}
    try:
        line.send((dict(os.environ), tuple(steps), store.root, most))
        while len(found) < len(steps):
            if not line.poll(_POLL):
                progress(0)
                continue
            i, outcome = _read(line.recv_bytes())
            if outcome is None:
                progress(i)
            elif i == _ALL:
                return dict.fromkeys(range(len(steps)), outcome)
            else:
                found[i] = outcome
    except (EOFError, ConnectionError):
        pass  # it died
    finally:
        process.kill()
        process.join()
        line.close()
    return found


def _read(message: bytes) -> tuple[int, Handed | Exception | None]:
    """One message: (training steps done, None), or (index of a step, its outcome)."""
    import safetensors.torch

    from capbench.pipeline.fine_tuning import Handed

    head, _, body = message.partition(b"\n")
    said = json.loads(head)
    if "ticks" in said:
        return said["ticks"], None
    if "failed" in said:
        return said["step"], MethodError(said["failed"])
    parts: dict[str, dict[str, Any]] = {"weights": {}, "answers": {}}
    for name, tensor in safetensors.torch.load(body).items():
        kind, _, own = name.partition(":")
        parts[kind][own] = tensor.to(said["device"]) if kind == "weights" else tensor
    return said["step"], Handed(meta=said["meta"], **parts)


# What runs in the new process


def _serve(line: Any) -> None:
    """Carry out the steps that come along the line, send what comes of them, and end without running what a method left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this process
    try:
        environ, steps, root, most = line.recv()
    except Exception as error:  # a class of the user's that cannot be imported there
        words = f"a task or model cannot be read in the method's process: {one_line(error)}"
        line.send_bytes(json.dumps({"step": _ALL, "failed": words}).encode())
        return
    processes.die_when_left(line)
    os.environ.clear()
    os.environ.update(environ)
    limit_threads()
    seed_everything(steps[0].train.seed)  # a method that uses the global generators at least repeats itself
    _Served(line, steps, Store(root)).carry_out(most)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class _Served:
    """The steps of one process, and the line along which their outcomes are sent."""

    def __init__(self, line: Any, steps: Sequence[FineTune], store: Store) -> None:
        self._line, self._steps, self._store, self._ticks = line, steps, store, 0

    def carry_out(self, most: int) -> None:
        functions = [functools.partial(self._carry_out, i) for i in range(len(self._steps))]
        if most == 1:
            for function in functions:
                function()
        else:
            from capbench.training.stacking.together import together

            for outcome in together(functions, most=most):
                if isinstance(outcome, BaseException):
                    raise outcome

    def _carry_out(self, i: int) -> None:
        from capbench.pipeline.fine_tuning import call

        step = self._steps[i]
        try:
            handed = call(step, self._store, self._tick)
        except Exception as error:
            self._send({"step": i, "failed": why(step.label, error)})
        else:
            self._tick(0, flush=True)
            self._hand_over(i, handed)

    def _tick(self, steps: int, *, flush: bool = False) -> None:
        self._ticks += steps
        if self._ticks and (flush or self._ticks >= _TICKS):
            self._send({"ticks": self._ticks})
            self._ticks = 0

    def _hand_over(self, i: int, handed: Handed) -> None:
        import safetensors.torch

        tensors = {f"weights:{name}": tensor for name, tensor in handed.weights.items()}
        tensors |= {f"answers:{name}": tensor for name, tensor in handed.answers.items()}
        device = next(iter(handed.weights.values())).device
        # Copies, as weights may share memory.
        body = safetensors.torch.save({n: t.detach().to("cpu", copy=True).contiguous() for n, t in tensors.items()})
        self._send({"step": i, "meta": handed.meta, "device": str(device)}, body)

    def _send(self, said: dict[str, Any], body: bytes = b"") -> None:
        self._line.send_bytes(json.dumps(said).encode() + b"\n" + body)
