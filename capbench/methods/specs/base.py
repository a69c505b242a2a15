"""What every scheme of method specs answers: one subclass of Scheme is one row of the table in schemes.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from capbench.methods.specs.arguments import Takes

Method = Callable[..., Any]  # (model, task, config) -> model; see capbench.methods.base
Move = Callable[[Path], Path]  # the original place of a file or folder -> where it is now


@dataclass(frozen=True, kw_only=True)
class Located:
    """What a spec leads to.

    spec: with absolute paths, so that processes with another working directory can load it. digest: 16 hex digits over the
    method's source. takes: its arguments, if its source shows them. depends: files that its source says it reads.
    """

    spec: str
    digest: str
    takes: Takes | None = None
    depends: frozenset[Path] = frozenset()


@dataclass(frozen=True, kw_only=True)
class UserFiles:
    """The user's own files that a method or module consists of. folders: those that its modules are imported from."""

    files: frozenset[Path] = frozenset()
    folders: frozenset[Path] = frozenset()

    def __or__(self, other: UserFiles) -> UserFiles:
        return UserFiles(files=self.files | other.files, folders=self.folders | other.folders)


class Scheme(ABC):
    """One way to write a method spec. form: what such a spec looks like, for messages. prefix: what its specs begin with."""

    form: ClassVar[str]
    prefix: ClassVar[str] = ""
    users: ClassVar[bool] = True  # whether its methods may read files of the user's that it does not know

    @abstractmethod
    def matches(self, spec: str) -> bool:
        """Whether a spec is written this way. The first scheme of the table that matches is asked everything else."""

    @abstractmethod
    def find(self, spec: str) -> Located:
        """Locate the method without running its code. Raises UsageError or MethodError that quotes the spec."""

    @abstractmethod
    def load(self, spec: str, name: str) -> Method:
        """The method of a spec that `find` returned; name: the method's, for messages. May raise anything."""

    def refusal(self, spec: str, model: Callable[[], Any]) -> str:
        """Why the method would refuse a model, as far as that shows without training; by default ''.

        model: gives a base model of the right form, with whatever weights.
        """
        return ""

    def is_the_users(self, spec: str) -> bool:
        """Whether loading the method runs code of the user's or of another package; by default not."""
        return False

    def label(self, spec: str) -> str:
        """The spec as reports show it: without directories."""
        return spec

    def function(self, spec: str) -> str:
        """The same text for all specs, of whatever scheme, that lead to one function."""
        return spec

    def files(self, spec: str) -> UserFiles:
        """The user's files that another machine needs to load it; by default none."""
        return UserFiles()

    def moved(self, spec: str, move: Move) -> str:
        """The spec after its files were moved; by default it names none."""
        return spec


class Prefixed(Scheme):
    """A scheme whose specs are a prefix and a path."""

    def matches(self, spec: str) -> bool:
        """Whether it starts with the prefix."""
        return spec.startswith(self.prefix)

    def path(self, spec: str) -> Path:
        """The path in a spec."""
        return Path(spec.removeprefix(self.prefix))

    def moved(self, spec: str, move: Move) -> str:
        """The prefix and the new path."""
        return f"{self.prefix}{move(self.path(spec))}"
