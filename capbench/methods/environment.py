"""The environment variables that code of the user's looks up through Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

from capbench.store.places import is_the_users


@dataclass
class Variables:
    """Look-ups by name, how often all variables were gone through, and those that were set."""

    looked_up: list[str] = field(default_factory=list)
    gone_through: int = 0
    given: set[str] = field(default_factory=set)

    def asked_for(self) -> list[str]:
        """The variables that were an input, sorted. To copy all, as for another process, looks each up once."""
        names = set(self.looked_up) - self.given
        return sorted(name for name in names if self.looked_up.count(name) > self.gone_through)


@contextmanager
def watched(recording: Callable[[], list[Variables]]) -> Iterator[None]:
    """Note what happens to `os.environ` in this block. recording: gives those in which to note it."""

    class Watched(os._Environ):  # type: ignore[type-arg]
        def __getitem__(self, name: str) -> str:
            if isinstance(name, str) and _by_the_user(sys._getframe(1)):
                for variables in recording():
                    variables.looked_up.append(name)
            found: str = super().__getitem__(name)
            return found

        def __setitem__(self, name: str, value: str) -> None:
            super().__setitem__(name, value)
            for variables in recording():
                variables.given.add(name)

        def __iter__(self) -> Iterator[str]:
            for variables in recording():
                variables.gone_through += 1
            return super().__iter__()

    before = type(os.environ)
    os.environ.__class__ = Watched
    try:
        yield
    finally:
        os.environ.__class__ = before


def _by_the_user(frame: FrameType | None) -> bool:
    """Whether code of the user's made this call, apart from Python's own `os` and its mappings."""
    while frame is not None and frame.f_globals.get("__name__") in ("os", "collections.abc", "_collections_abc"):
        frame = frame.f_back
    return frame is not None and _is_the_users(frame.f_code.co_filename)


@cache
def _is_the_users(file: str) -> bool:
    return is_the_users(Path(file))
