"""What a method reads while it is loaded and called: a change of what is in no key makes its results stale.

Seen of files is what this process opens through Python, and weights, which safetensors opens by itself. What other native code
(HDF5, Parquet) or another process opens is not seen. Of environment variables, what the user's own Python code looks up.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from capbench.methods.environment import Variables, watched
from capbench.methods.specs.depends import content
from capbench.store.places import ROOT, is_library

_EVENTS = ("open", "sqlite3.connect")
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_TICK = 0.02  # seconds by which a file's time may lag behind the clock
_SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sys", "/usr", "/Library", "/System")
_INSTALLED = (".egg-info", ".dist-info")  # what pip notes of an installed project, inside it if it is editable
_DOWNLOADS = ("huggingface", "torch/hub")  # in the user's cache directory: weights, not what could be made again


@dataclass
class Opened:
    """What was opened, as absolute paths. where: the working directory at the beginning; began: seconds since 1970."""

    where: str = field(default_factory=os.getcwd)
    began: float = field(default_factory=time.time)
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    variables: Variables = field(default_factory=Variables)

    def told(self, declared: Iterable[Path], *, own: Iterable[Path] = ()) -> dict[str, Any]:
        """What is in no key, for a model's metadata: files with the hash of their content, and variables; nothing if all is."""
        files = {file: content(Path(file)) for file in self.undeclared(declared, own=own)}
        found = {"opened": files, "environment": self.variables.asked_for()}
        return {what: names for what, names in found.items() if names}

    def undeclared(self, declared: Iterable[Path], *, own: Iterable[Path] = ()) -> list[str]:
        """The files and Python modules of the user's that were read and are not declared, as sorted paths.

        declared: files and folders that are in a key. own: capbench's folders, such as the cache. Left out are installed
        libraries and pip's notes, what belongs to the system, temporary files, and those that were written meanwhile.
        """
        known = {_real(path) for path in declared}
        caches, ours = Path(user_cache_dir()), {_real(path) for path in (*own, ROOT)}
        home = _real(os.path.expanduser("~"))  # what is hidden there are programs' settings and caches
        downloads = {_real(caches / name) for name in _DOWNLOADS}
        theirs = {path.parent for path in known} | downloads | {_real(self.where)}
        nobodys = set(map(_real, (*_SYSTEM, sys.prefix, sys.base_prefix, tempfile.gettempdir(), str(caches))))

        def counts(file: Path) -> bool:
            if any(file == path or path in file.parents for path in known) or not file.is_file() or self._is_new(file):
                return False
            # The innermost folder says whose a file is: a project may lie in /usr/src, and hold a virtual environment.
            for place in (file, *file.parents):
                if place in ours or is_library(place) or place.suffix in _INSTALLED:
                    return False
                if place in theirs or place in nobodys or (place.parent == home and place.name.startswith(".")):
                    return place in theirs
            return True

        return sorted({str(file) for file in map(_source, self.read - self.written) if counts(file)})

    def _is_new(self, file: Path) -> bool:
        """Whether it was written since the beginning, as native code may do unseen."""
        state = file.stat()
        return max(state.st_mtime, state.st_ctime) > self.began - _TICK


_mine: ContextVar[Opened | None] = ContextVar("capbench_opened", default=None)
_active: list[Opened] = []
_watching = ExitStack()


@contextmanager
def recording() -> Iterator[Opened]:
    """Note what is read in this block, and by threads that it starts."""
    _listen()
    found = Opened()
    token = _mine.set(found)
    _active.append(found)
    if len(_active) == 1:
        _watching.enter_context(_safetensors())
        _watching.enter_context(watched(lambda: [found.variables for found in _current()]))
    try:
        yield found
    finally:
        _active.remove(found)
        _mine.reset(token)
        if not _active:
            _watching.close()


@functools.cache
def _listen() -> None:
    """Once in a process, as an audit hook cannot be removed."""
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and event in _EVENTS:
        path, *more = arguments
        _note(path, writing=len(more) == 2 and isinstance(more[1], int) and bool(more[1] & _WRITING))


@contextmanager
def _safetensors() -> Iterator[None]:
    """Note what is opened by its native code, which raises no event."""
    import safetensors.torch

    modules: tuple[Any, ...] = (safetensors, safetensors.torch)
    opener: Callable[..., Any] = modules[0].safe_open

    @functools.wraps(opener)
    def noted(filename: Any, *arguments: Any, **named: Any) -> Any:
        _note(filename)
        return opener(filename, *arguments, **named)

    for module in modules:
        module.safe_open = noted
    try:
        yield
    finally:
        for module in modules:
            module.safe_open = opener


def _note(path: Any, *, writing: bool = False) -> None:
    with suppress(TypeError, ValueError, OSError):  # a descriptor, or what is no path
        place = os.path.abspath(os.fsdecode(path))
        for found in _current():
            (found.written if writing else found.read).add(place)


def _current() -> list[Opened]:
    """A thread that a method starts has no context: any of them may have started it."""
    mine = _mine.get()
    return list(_active) if mine is None else [mine]


def _source(path: str) -> Path:
    """The file; of compiled Python code its source."""
    with suppress(ValueError):
        if path.endswith(".pyc"):
            path = importlib.util.source_from_cache(path)
    return _real(path)


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))
