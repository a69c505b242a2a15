"""Snapshots of running trainings, so that a later run continues them after a kill -9.

In the store: `partial/<key>/<n>.snapshot` is training n (from 0) of the step with this key. It is replaced atomically, and the
directory is removed once the artefact exists. One line of JSON, then a safetensors file, with the SHA-256 of both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from capbench.store.files import remove_drafts, write_whole
from capbench.store.store import DamagedArtefact, Store, partial_folder
from capbench.training.stacking.share import Spent, stopwatch

if TYPE_CHECKING:  # the progress of a training can be read without torch
    import torch

    from capbench.configs import TrainConfig
    from capbench.models.base import Model

FORMAT = 1
EVERY = 20.0  # seconds between snapshots of one training: at most this much is lost, plus the time to save
_FORGOTTEN = 30 * 24 * 3600.0  # snapshots older than this are removed


class SnapshotWarning(DamagedArtefact):
    """A snapshot is damaged or of another training, and not used; or none can be written."""


class Watched(Protocol):
    """State saved with a training: its curves and cost counts."""

    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


class Snapshots:
    """The snapshots of one step's trainings, and the seconds that the step took, including those before an interruption.

    A `Keeper` of the training loop. The caller must hold the lock of the step's artefact. A step may train several times: a
    training is identified by its number, and continues only if it begins exactly as the saved one did (weights, configuration,
    torch version). A training that draws from torch's global generator is not saved, as that state is not its own.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._folder, self._key = partial_folder(root, key), key
        self._watched: Watched | None = None
        self._watch, self._kept_at = stopwatch(), time.monotonic()
        self._began, self._earlier = self._watch.spent, Spent(0.0, 0.0)  # earlier: before an interruption
        self._trainings = -1
        self._start, self._device, self._random = "", "cpu", ""  # of the current training; no start: it is not saved

    def spent(self) -> dict[str, float]:
        """How long the step has taken so far, by name.

        seconds: its share, if it was trained together with other steps: the shares of all steps add up to the time they took.
        wall: elapsed time; only for a step trained together with others.
        """
        now = self._watch.spent
        seconds = self._earlier.share + now.share - self._began.share
        wall = self._earlier.wall + now.wall - self._began.wall
        return {"seconds": seconds, "wall": wall} if wall > seconds else {"seconds": seconds}

    def of(self, watched: Watched) -> Snapshots:
        """The same object, with state to save with the trainings."""
        self._watched = watched
        return self

    def remove(self) -> None:
        """Remove all snapshots: the artefact exists."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder, ignore_errors=True)

    # What `fit` calls

    def begin(self, model: Model, config: TrainConfig, *, resumable: bool) -> Mapping[str, torch.Tensor] | None:
        """The saved state of the next training if it began as this one does; else None."""
        self._trainings += 1
        self._kept_at, self._start = time.monotonic(), ""
        if not resumable:
            return None
        self._start, self._device, self._random = _digest(model, config), config.device, _global_random(config.device)
        if not self._file.is_file():
            return None
        try:
            document, tensors = self._read()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._refuse(f"is damaged ({type(error).__name__})")
            return None
        if (document["format"], document["key"], document["start"]) != (FORMAT, self._key, self._start):
            self._refuse("belongs to another training")
            return None
        if self._watched is not None:
            self._watched.restore(document["watched"])
        self._began = self._watch.spent
        self._earlier = Spent(document["seconds"], document.get("wall", document["seconds"]))
        return tensors

    def due(self) -> bool:
        """Whether it is time for the next snapshot."""
        return time.monotonic() - self._kept_at >= EVERY and bool(self._start)

    def keep(self, steps: int, state: Mapping[str, torch.Tensor]) -> None:
        """Save a snapshot. If that fails, training continues without snapshots."""
        if _global_random(self._device) != self._random:
            self._start = ""
            return
        import safetensors.torch

        # Copies, as weights may share memory.
        body = safetensors.torch.save({n: t.detach().to("cpu", copy=True).contiguous() for n, t in state.items()})
        document = {
            "format": FORMAT,
            "key": self._key,
            "start": self._start,
            "steps": steps,
            **self.spent(),
            "watched": self._watched.state() if self._watched is not None else {},
            "tensors_sha256": hashlib.sha256(body).hexdigest(),
        }
        try:
            self._write(_line(document) + body)
        except OSError as error:
            what = f"cannot save a snapshot in {str(self._folder)!r}: {error.strerror or error}; training continues"
            with suppress(SnapshotWarning):  # raised under -W error: training continues nevertheless
                warnings.warn(what, SnapshotWarning, stacklevel=3)
            self._start = ""
        self._kept_at = time.monotonic()

    @property
    def _file(self) -> Path:
        return self._folder / f"{self._trainings}.snapshot"

    def _write(self, data: bytes) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True)
            _sweep(self._folder.parent)
        remove_drafts(self._folder)  # of a run that was killed while writing; we hold the lock
        write_whole(self._file, data)

    def _read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        head, _, body = self._file.read_bytes().partition(b"\n")
        document = _checked(head)
        if hashlib.sha256(body).hexdigest() != document["tensors_sha256"]:
            raise ValueError("the tensors differ from those written")
        import safetensors.torch

        return document, safetensors.torch.load(body)

    def _refuse(self, why: str) -> None:
        with suppress(OSError):
            self._file.unlink()
        what = f"snapshot {str(self._file)!r} {why}: not used, the training starts over"
        with suppress(SnapshotWarning):
            warnings.warn(what, SnapshotWarning, stacklevel=3)


def remove_finished(store: Store) -> None:
    """Remove the snapshots of artefacts that exist: a process that was killed right after saving one could not."""
    for folder in (store.root / "partial").glob("*/"):
        with suppress(ValueError):  # its name is no key
            if store.has(folder.name):
                with store.try_lock(folder.name) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)


def steps_kept(root: Path, key: str) -> int:
    """How many training steps of an unfinished step are saved; 0 if no readable snapshot exists."""
    found = 0
    for file in partial_folder(root, key).glob("*.snapshot"):
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError), file.open("rb") as lines:
            found += int(_checked(lines.readline().rstrip(b"\n"))["steps"])
    return found


def curves_kept(root: Path, key: str) -> dict[str, list[list[float]]]:
    """The curves of an unfinished step, as far as its snapshots go: by name, points of (training step, value)."""
    found: dict[int, dict[str, list[list[float]]]] = {}
    for file in partial_folder(root, key).glob("*.snapshot"):
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError), file.open("rb") as lines:
            found[int(file.stem)] = dict(_checked(lines.readline().rstrip(b"\n"))["watched"]["points"])
    return found[max(found)] if found else {}  # the last training's: curves go on from one training to the next


def _line(document: Mapping[str, Any]) -> bytes:
    plain = json.dumps(document)
    return json.dumps([plain, hashlib.sha256(plain.encode()).hexdigest()]).encode() + b"\n"


def _checked(line: bytes) -> dict[str, Any]:
    """The document of a snapshot's first line. Raises ValueError or TypeError if it is not as written."""
    plain, digest = json.loads(line)
    if hashlib.sha256(plain.encode()).hexdigest() != digest:
        raise ValueError("the first line differs from what was written")
    document: dict[str, Any] = json.loads(plain)
    return document


def _digest(model: Model, config: TrainConfig) -> str:
    """Hash of a training's start: weights, which of them train, the configuration, and torch's version."""
    import safetensors.torch
    import torch

    total = hashlib.sha256()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    weights = {n: t.detach().to("cpu", copy=True).contiguous() for n, t in model.state_dict().items()}
    total.update(repr((torch.__version__, sorted(trained), dataclasses.astuple(config))).encode())
    for name, tensor in sorted(weights.items()):
        total.update(name.encode() + safetensors.torch.save({"": tensor}))
    return total.hexdigest()


def _global_random(device: str) -> str:
    """Hash of the state of torch's global generators."""
    import torch

    total = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    if device.startswith("cuda"):
        total.update(torch.cuda.get_rng_state().numpy().tobytes())
    return total.hexdigest()


def _sweep(folder: Path) -> None:
    """Remove old snapshots, left by code or configurations that no longer exist."""
    for path in folder.iterdir():
        with suppress(OSError):  # another process may be sweeping too
            if time.time() - path.stat().st_mtime > _FORGOTTEN:
                shutil.rmtree(path, ignore_errors=True)
