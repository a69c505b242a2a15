"""Content-addressed artefacts on disk: tensors (safetensors) and metadata (JSON), atomic, hash-checked and locked.

Under the root: `artefacts/<key[:2]>/<key>/` holds tensors.safetensors and meta.json, complete and never changed;
`tmp/<key>.<random>/` is being written, and renamed into place when complete; `locks/<key>.lock` is held while an
artefact is built or moved; `damaged/<key>.<random>/` failed its checksum and is kept for inspection;
`partial/<key>/` holds the state of a training that is not finished. What else lies there: see `beside`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout
from platformdirs import user_cache_dir

from capbench.errors import CapbenchError, UsageError
from capbench.store.files import sync, write_durably
from capbench.store.keys import canonical, plain, sha256
from capbench.store.locks import lock_type

if TYPE_CHECKING:  # torch is imported only where tensors are handled: reading metadata must not cost seconds
    import torch

    Tensors = Mapping[str, torch.Tensor]

FORMAT, STALE_SECONDS = 1, 24 * 3600
TENSORS, META = "tensors.safetensors", "meta.json"
BUNDLED = "bundled"  # in an artefact's metadata: it came with the package and was not trained here
Json = Mapping[str, Any]
_LOCKS = threading.local()


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """A stored result: tensors of any shape and dtype by name, and metadata as JSON values (lists, never tuples)."""

    key: str
    tensors: Tensors
    meta: Json


@dataclass(frozen=True, kw_only=True)
class Content:
    """The two files of an artefact, as bytes."""

    meta: bytes
    tensors: bytes


class DamagedArtefact(UserWarning):
    """An artefact failed its checksum and counts as absent."""


def is_key(name: str) -> bool:
    """Whether an artefact may have this key. Lower case: some file systems do not distinguish "a" from "A"."""
    return re.fullmatch("[0-9a-z_-]{2,64}", name) is not None


def default_root(option: str | None = None) -> Path:
    """Where artefacts live: `option`, else the environment's CAPBENCH_CACHE, else the user's cache directory."""
    return Path(option or os.environ.get("CAPBENCH_CACHE") or user_cache_dir("capbench"))


def beside(root: Path, what: Literal["retrained", "variants", "examples", "stories"]) -> Path:
    """Where other things are kept below a cache's root.

    retrained: a store of models made without those of the package. variants: specifications of variants that were tried.
    examples: Hypothesis' databases of variants that failed. stories: somebody's own ones as tokens.
    """
    return root / what


def partial_folder(root: Path, key: str) -> Path:
    """Where the state of an unfinished training is kept, below a store's root (see pipeline/snapshots.py)."""
    return root / "partial" / key


class Store:
    """Artefacts under one root directory, shared safely by threads and processes of one machine.

    lock_type: the locks that work there. An artefact's folder was changed when it was used last (`used`).
    Keys come from `key_of`. Disk full, no permission and the like raise CapbenchError with path and cause in one line.
    """

    def __init__(self, root: Path | str) -> None:
        """Create `root` if needed. Raises UsageError if it is a file or cannot be written."""
        self.root = Path(os.path.realpath(os.path.expanduser(root)))
        try:
            for name in ("artefacts", "locks", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
                if not os.access(self.root / name, os.W_OK | os.X_OK):
                    raise PermissionError(None, "no permission to write")
        except OSError as error:
            cause = "it is a file" if os.path.isfile(self.root) else error.strerror
            raise UsageError(
                f"cannot use {str(root)!r} as the cache directory: {cause}; give a writable one"
            ) from error
        try:
            self.lock_type = lock_type(self.root / "locks")
        except OSError as error:
            raise UsageError(
                f"cannot use {str(root)!r} as the cache directory: files there cannot be locked ({error.strerror}); "
                "give one on another file system"
            ) from error

    @property
    def has_weak_locks(self) -> bool:
        """Whether the file system has no locks, so that the existence of a file stands in for one."""
        return self.lock_type is not FileLock

    def has(self, key: str) -> bool:
        """Whether a complete artefact is present. Cheap: its checksums are not verified."""
        return all(os.path.isfile(self._place(key) / name) for name in (TENSORS, META))

    def load(self, key: str, *, device: str | torch.device = "cpu") -> Artefact | None:
        """The artefact with its tensors on `device`, or None if absent.

        Both files are checked by SHA-256. A damaged artefact is set aside, with a DamagedArtefact warning, and is absent.
        """
        if (checked := self._checked(key, with_tensors=True)) is None:
            return None
        import safetensors.torch

        self.used(key)
        # From the bytes that were hashed, not from the file: it cannot change in between, nor later under a mmap.
        tensors = {name: tensor.to(device) for name, tensor in safetensors.torch.load(checked[1]).items()}
        return Artefact(key=key, tensors=tensors, meta=checked[0])

    def meta(self, key: str) -> Json | None:
        """Only the metadata, checked as by `load` (the tensors are not), without importing torch. None if absent."""
        checked = self._checked(key, with_tensors=False)
        return None if checked is None else checked[0]

    def documents(self) -> Iterator[tuple[str, Json]]:
        """Key and meta.json of every artefact, unchecked: for estimates only. Those that cannot be read are left out."""
        for file in (self.root / "artefacts").glob(f"*/*/{META}"):
            with suppress(OSError):
                if (document := _document(file, file.stat().st_mtime_ns)) is not None:
                    yield file.parent.name, document

    def used(self, key: str) -> None:
        """Note that an artefact, if it is there, is used now; in a cache of somebody else's nothing is noted."""
        with suppress(OSError):
            os.utime(self._place(key))

    def intact(self, key: str) -> bool:
        """Whether the artefact is there and its checksums hold; if damaged it is set aside, as by `load`."""
        return self._checked(key, with_tensors=True) is not None

    def save(self, key: str, *, kind: str, config: Json, tensors: Tensors, meta: Json) -> None:
        """Store an artefact; a crash at any moment leaves all of it or nothing. One that exists is kept.

        Tensors may be on any device, share storage or be non-contiguous. Takes the key's lock, whose holder
        knows that nobody else is writing. Raises TypeError or ValueError, naming the field, for what cannot be stored.
        """
        document = {"format": FORMAT, "key": key, "kind": kind, "config": plain(config, "config")}
        document |= {"created": datetime.now(UTC).isoformat(timespec="seconds"), "meta": plain(meta, "meta")}
        place = self._place(key)
        with self.lock(key):
            if self.has(key):
                return
            data = _pack(tensors)
            document["tensors_sha256"] = sha256(data)
            document["meta_sha256"] = sha256(canonical(document))
            with _explained(f"save artefact {key} to {str(place)!r}"):
                if os.path.lexists(place):  # incomplete, or it would have been kept
                    self._set_aside(key)
                self._publish(place, {TENSORS: data, META: canonical(document)})

    def content(self, key: str) -> Content | None:
        """An artefact's two files as they are, for another store; checked as by `load`. None if absent."""
        if (checked := self._checked(key, with_tensors=True)) is None:
            return None
        with _explained(f"read artefact {str(self._place(key))!r}"):
            return Content(meta=(self._place(key) / META).read_bytes(), tensors=checked[1])

    def put(self, key: str, content: Content) -> None:
        """Store what another store's `content` gave, as by `save`. Raises CapbenchError if it is not what was written there."""
        place = self._place(key)
        with self.lock(key):
            if self.has(key):
                return
            with _explained(f"save artefact {key} to {str(place)!r}"):
                if os.path.lexists(place):
                    self._set_aside(key)
                self._publish(place, {TENSORS: content.tensors, META: content.meta})
            if not self.intact(key):
                raise CapbenchError(f"artefact {key} was damaged on its way to {str(self.root)!r}")

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Wait for the key's lock and hold it, against other threads and processes; re-entrant within a thread."""
        return self._locked(key, timeout=-1)

    def try_lock(self, key: str) -> AbstractContextManager[bool]:
        """As `lock`, without waiting: yields whether the lock is held (also if this thread already held it)."""
        return self._locked(key, timeout=0)

    def get_or_build(self, key: str, build: Callable[[], tuple[Tensors, Json]], *, kind: str, config: Json) -> Artefact:
        """The artefact, from disk if it is there, else from `build() -> (tensors, meta)`, which is then saved.

        Callers that come while another builds wait for its result. What `build` raises passes through, and nothing is
        saved. The result always comes from disk, so that the first run sees exactly what later runs see.
        """
        plain(config, "config")  # refused before the work, not after it
        if (found := self.load(key)) is not None:
            return found
        with self.lock(key):
            if (found := self.load(key)) is None:
                tensors, meta = build()
                self.save(key, kind=kind, config=config, tensors=tensors, meta=meta)
                found = self.load(key)
        if found is None:
            raise CapbenchError(f"cannot read back artefact {key} from {str(self._place(key))!r}: is the disk failing?")
        return found

    def _place(self, key: str) -> Path:
        if not is_key(key):
            raise ValueError(f"artefact key {key!r}: use 2 to 64 characters of 0-9, a-z, '-' and '_', as key_of gives")
        return self.root / "artefacts" / key[:2] / key

    @contextmanager
    def _locked(self, key: str, *, timeout: float) -> Iterator[bool]:
        kind = "held" if self.has_weak_locks else "lock"  # apart: a lock's file may stay when it is released
        path = str(self.root / "locks" / f"{self._place(key).name}.{kind}")
        # One object per thread: re-entrant there, and it keeps other threads out. And one per process: a forked child
        # must not believe that it holds its parent's locks.
        lock, held = vars(_LOCKS).setdefault(f"{os.getpid()}:{path}", self.lock_type(path)), False
        with ExitStack() as stack:
            with _explained(f"lock artefact {key} with {path!r}"), suppress(Timeout):
                stack.enter_context(lock.acquire(timeout=timeout))
                held = True
            yield held

    def _checked(self, key: str, *, with_tensors: bool) -> tuple[Json, bytes] | None:
        """As `_read`, but None if damaged: then the artefact is set aside."""
        place = self._place(key)
        with suppress(DamagedArtefact):
            return _read(place, with_tensors=with_tensors)
        with self.try_lock(key) as held:
            try:  # once more: another process may have replaced it by a good one meanwhile
                return _read(place, with_tensors=with_tensors)
            except DamagedArtefact as damage:
                what = f"artefact {key} is damaged ({damage}): "
            if held:
                with _explained(f"set the damaged artefact {str(place)!r} aside"):
                    what += f"moved to {str(self._set_aside(key))!r}"
            else:  # no waiting here: the holder may be building for an hour
                what += f"left at {str(place)!r} as another process has locked it"
        warnings.warn(what, DamagedArtefact, stacklevel=3)
        return None

    def _set_aside(self, key: str) -> Path:
        moved = self.root / "damaged" / f"{key}.{uuid.uuid4().hex[:8]}"
        moved.parent.mkdir(exist_ok=True)
        os.rename(self._place(key), moved)
        return moved

    def _publish(self, place: Path, files: Mapping[str, bytes]) -> None:
        """Write the files and make them durable in a temporary directory, then rename that to `place`."""
        for path in (self.root / "tmp").iterdir():  # left by dead processes: of this key, which is locked here, or old
            with suppress(FileNotFoundError, ValueError):  # another process may be sweeping too; it is no key
                # As far in the future is old too: the clock was set back. Who writes holds the lock, whatever the clock says.
                if path.name.startswith(f"{place.name}.") or abs(time.time() - path.stat().st_mtime) > STALE_SECONDS:
                    with self.try_lock(path.name.partition(".")[0]) as free:
                        if free:
                            shutil.rmtree(path, ignore_errors=True)
        # Not tempfile.mkdtemp: its mode 0700 would close a cache that is shared with a group.
        temporary = self.root / "tmp" / f"{place.name}.{uuid.uuid4().hex}"
        try:
            temporary.mkdir()
            for name, data in files.items():
                write_durably(temporary / name, data)
            sync(temporary)
            place.parent.mkdir(exist_ok=True)
            os.rename(temporary, place)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync(place.parent)
        sync(place.parent.parent)


@cache
def _document(file: Path, changed: int) -> Json | None:
    """An artefact's meta.json, read once in a process: it never changes, unless it was damaged. changed: when, in nanoseconds."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CapbenchError(f"cannot {doing}: {error.strerror or error}") from error


def _read(place: Path, *, with_tensors: bool) -> tuple[Json, bytes] | None:
    """The checked metadata and (if asked for) tensor bytes; None if there is no artefact. Raises DamagedArtefact."""
    with _explained(f"read artefact {str(place)!r}"):
        if not place.is_dir():
            return None
        try:
            raw = (place / META).read_bytes()
            (place / TENSORS).stat()  # metadata without tensors is not an artefact
            data = (place / TENSORS).read_bytes() if with_tensors else b""
        except FileNotFoundError as error:
            raise DamagedArtefact(f"{Path(error.filename).name} is missing") from None
    try:
        document = json.loads(raw)
        digest = document.pop("meta_sha256")
        # The text too must be canonical, so that not even a change without meaning passes.
        intact = digest == sha256(canonical(document)) and raw == canonical({**document, "meta_sha256": digest})
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        intact = False
    if not intact or document.get("key") != place.name:
        raise DamagedArtefact(f"{META} is not what was written for this key")
    if document["format"] != FORMAT:  # not damage: do not move another version's work away
        raise CapbenchError(f"{str(place)!r} has format {document['format']}, not {FORMAT}; use another cache")
    if with_tensors and sha256(data) != document["tensors_sha256"]:
        raise DamagedArtefact(f"the SHA-256 of {TENSORS} differs")
    return document["meta"], data


def _pack(tensors: Tensors) -> bytes:
    """The tensors as the bytes of a safetensors file."""
    import safetensors.torch
    import torch

    packed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            raise TypeError(f"tensors[{name!r}] is a {type(tensor).__name__}: only dense tensors can be stored")
        # safetensors refuses shared and non-contiguous storage, and writes lazily conjugated numbers unconjugated.
        dense = tensor.detach().cpu().resolve_conj().resolve_neg()
        packed[name] = dense.clone(memory_format=torch.contiguous_format)
    return safetensors.torch.save(packed)
