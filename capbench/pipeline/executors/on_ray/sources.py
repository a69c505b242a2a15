"""The user's source files that a step needs on a node: of methods, tasks and programs. Needs no Ray."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from capbench.methods.specs.base import UserFiles
from capbench.methods.specs.depends import files_of
from capbench.methods.specs.module import module_files
from capbench.methods.specs.schemes import scheme_of
from capbench.pipeline.steps import FineTune, Step


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Source files. files: original path -> content; folders: the original folders that modules are imported from."""

    files: Mapping[str, bytes]
    folders: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """16 hex digits over everything; sources with different content are kept in different folders."""
        total = hashlib.sha256(repr(self.folders).encode())
        for name, content in sorted(self.files.items()):
            total.update(f"{name!r}:{hashlib.sha256(content).hexdigest()};".encode())
        return total.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """Paths of source files, so that files needed by several steps are read once."""

    files: frozenset[Path]
    folders: frozenset[Path]

    def read(self) -> Sources:
        """The files as they are now. Raises OSError if one is missing."""
        return Sources(
            files={str(file): file.read_bytes() for file in self.files}, folders=tuple(map(str, sorted(self.folders)))
        )


class _Modules(pickle.Pickler):
    """Collects the modules of what would be pickled by name."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: set[str] = set()

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, (type, FunctionType)):
            self.found.add(value.__module__)


def modules_of(step: Step) -> frozenset[str]:
    """The modules that define a step and its ancestors. Raises what pickle raises for a step that cannot be pickled."""
    looking = _Modules()
    looking.dump(step)
    found, waiting = looking.found, [step]
    while waiting:
        one = waiting.pop()
        waiting += one.parents
        found |= {path.partition(":")[0] for path in one.code_paths}
    return frozenset(found)


def needed_by(step: Step) -> SourceFiles:
    """The user's source files that a step needs, and the data that its method declares."""
    found = UserFiles()
    for module in modules_of(step):
        found |= module_files(module)
    if isinstance(step, FineTune):
        found |= scheme_of(step.method.spec).files(step.method.spec)
        found |= UserFiles(files=frozenset(file for path in step.method.depends for file in files_of(path)))
    return SourceFiles(files=found.files, folders=found.folders)


def unpack(sources: Sources, below: Path) -> Path:
    """Write the files to a folder of their own below the given one, with their original layout, and make them importable.

    Returns that folder, which is complete if it exists. Modules that this process has imported from other sources below the
    given folder, perhaps from an earlier version of the same files, are removed from sys.modules.
    """
    into = below / sources.digest
    _forget(below, but=into)
    if not into.is_dir():
        draft = below / f"{sources.digest}.{os.getpid()}"
        draft.mkdir(parents=True, exist_ok=True)
        for name, content in sources.files.items():
            file = _below(draft, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        draft.rename(into)
    folders = {*sources.folders, *(str(Path(name).parent) for name in sources.files)}
    # The plan's node may have the original folders on its path: ours go before them.
    for i, known in reversed(list(enumerate(sys.path))):
        if (there := str(Path(known).resolve())) in folders and (place := str(_below(into, there))) not in sys.path:
            sys.path.insert(i, place)
    for folder in sources.folders:
        if (place := str(_below(into, folder))) not in sys.path:
            sys.path.append(place)
    return into


def _forget(below: Path, *, but: Path) -> None:
    """Remove from sys.path and sys.modules everything below a folder, except below `but`."""

    def stale(place: object) -> bool:
        return str(place).startswith(f"{below}{os.sep}") and not str(place).startswith(f"{but}{os.sep}")

    for name in [name for name, module in list(sys.modules.items()) if any(map(stale, _locations(module)))]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if not stale(place)]
    importlib.invalidate_caches()


def _locations(module: ModuleType) -> list[object]:
    """The file of a module, or the folders of a namespace package."""
    spec = getattr(module, "__spec__", None)
    folders = spec.submodule_search_locations if isinstance(spec, ModuleSpec) else None
    return [getattr(module, "__file__", None), *(folders or ())]


def relocated(step: Step, into: Path) -> Step:
    """The step with its method's files in the folder that `unpack` returned; its key is unchanged."""
    if not isinstance(step, FineTune):
        return step
    spec = step.method.spec
    there = scheme_of(spec).moved(spec, lambda file: _below(into, file))
    depends = frozenset(_below(into, path) for path in step.method.depends)
    if there == spec and not depends:
        return step
    found = replace(step, method=replace(step.method, spec=there, depends=depends))
    vars(found).update(key=step.key, config=step.config)  # as computed with the original paths
    return found


def _below(into: Path, path: str | Path) -> Path:
    return into / Path(path).relative_to(Path(path).anchor)
