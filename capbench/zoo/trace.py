"""What short trainings of the base models give, to the bit: whether code that was changed still does the same. Imports torch.

The weights of a whole training say it too, but take hours, and another machine gives other last bits. So the code before a
change and the code after it each make the short trainings, on one machine.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from capbench.errors import UsageError
from capbench.store.files import write_whole
from capbench.store.store import Artefact, Store
from capbench.zoo.alike import Bundled, described, without_code

STEPS = 200  # of a short training: with its own warm-up and decay, so that all of the schedule is passed through
# What is known of a training and does not hang on the clock.
_SAME = ("curves", "loss", "grad_norm", "steps", "diverged")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """digests: of each model's short training, by what the model is, whatever the version of the code."""

    torch: str
    machine: str
    steps: int
    digests: Mapping[str, str]

    @classmethod
    def of(cls, wanted: Iterable[Bundled], store: Store) -> Trace:
        """Of these models' short trainings, which must be in the store."""
        import torch

        made = {without_code(described(step)): store.load(short(step).key) for step in wanted}
        digests = {name: _digest(artefact) for name, artefact in made.items() if artefact is not None}
        return cls(torch=str(torch.__version__), machine=_machine(), steps=STEPS, digests=digests)

    @classmethod
    def read(cls, option: str, file: Path) -> Trace:
        """Raises UsageError where that is no such file, or one of another kind of machine."""
        import torch

        try:
            found = cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{option}={file}: not a file that `capbench zoo trace` wrote ({error})") from None
        here = {"torch": str(torch.__version__), "machine": _machine(), "steps": STEPS}
        for name, now in here.items():
            if (was := getattr(found, name)) != now:
                raise UsageError(f"{option}={file}: made with {name} {was}, here it is {now}; trace both here")
        return found

    def write(self, option: str, file: Path) -> None:
        """As JSON. Raises UsageError where that cannot be."""
        try:
            write_whole(file, f"{json.dumps(asdict(self), indent=1)}\n")
        except OSError as error:
            raise UsageError(f"{option}={file}: cannot be written ({error.strerror or error}); give a file") from None


def short(step: Bundled) -> Bundled:
    """The same training in few steps, watched at two points."""
    steps = min(STEPS, step.train.steps)
    return replace(step, train=replace(step.train, steps=steps), watch_every=max(1, steps // 2))


def _digest(artefact: Artefact) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(artefact.tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    found.update(json.dumps([artefact.meta.get(name) for name in _SAME], sort_keys=True).encode())
    return found.hexdigest()


def _machine() -> str:
    """What the last bits hang on, as far as it is known: torch chooses its kernels by it."""
    import torch

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
