"""What a step needs on a node besides capbench: the files of the user's own method, tasks and programs. Needs no Ray."""

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

from capbench.methods.specs import sources
from capbench.methods.specs.registry import BUILT_IN, CHECKPOINTS, PEFT, MethodRef
from capbench.pipeline.steps import FineTune, Step

_CAPBENCH = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Luggage:
    """files: content by path where they come from; folders: of those, where modules are imported from."""

    files: Mapping[str, bytes]
    folders: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """16 hex digits over all of it: other content is other luggage, and lies elsewhere."""
        total = hashlib.sha256(repr(self.folders).encode())
        for name, content in sorted(self.files.items()):
            total.update(f"{name!r}:{hashlib.sha256(content).hexdigest()};".encode())
        return total.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class List:
    """What is to be packed, so that what several steps need is packed once."""

    files: frozenset[Path]
    folders: frozenset[Path]

    def packed(self) -> Luggage:
        """The files as they are now. Raises OSError for one that is gone."""
        return Luggage(
            files={str(file): file.read_bytes() for file in self.files}, folders=tuple(map(str, sorted(self.folders)))
        )


class _Modules(pickle.Pickler):
    """Looks at what would be pickled by name."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: set[str] = set()

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, (type, FunctionType)):
            self.found.add(value.__module__)


def modules_of(step: Step) -> frozenset[str]:
    """The modules that define a step and those before it. Raises what pickle raises for a step that cannot travel."""
    looking = _Modules()
    looking.dump(step)
    found, waiting = looking.found, [step]
    while waiting:
        one = waiting.pop()
        waiting += one.parents
        found |= {path.partition(":")[0] for path in one.code_paths}
    return frozenset(found)


def needed(step: Step) -> List:
    """The user's own files that a step needs. Data that a method reads beside its sources is not among them."""
    files: set[Path] = set()
    folders: set[Path] = set()
    for module in modules_of(step):
        _add_module(module, files, folders)
    if isinstance(step, FineTune) and step.method.spec not in BUILT_IN:
        spec = step.method.spec
        if spec.startswith(PEFT):
            files.add(Path(spec.removeprefix(PEFT)))
        elif spec.startswith(CHECKPOINTS):
            folder = Path(spec.removeprefix(CHECKPOINTS))
            files |= {folder / "manifest.json", *(folder / "tuned").glob("*.safetensors")}
        elif (where := spec.rpartition(":")[0]).endswith(".py"):
            files |= _sources(Path(where), "")
        else:
            _add_module(where, files, folders)
    return List(files=frozenset(files), folders=frozenset(folders))


def _add_module(module: str, files: set[Path], folders: set[Path]) -> None:
    """A module of the user's own, unless it has no file (a notebook)."""
    if module.partition(".")[0] in ("capbench", "__main__", *sys.stdlib_module_names):
        return
    found = sys.modules.get(module)
    spec = importlib.util.find_spec(module) if found is None else None
    path = spec.origin if spec is not None else getattr(found, "__file__", None)
    if path is None or path.startswith(sources.LIBRARIES):  # installed libraries are to be on all nodes
        return
    file = Path(path).resolve()
    files |= _sources(file, module)
    folders.add(file.parents[len(module.split(".")) - (file.name != "__init__.py")])


def _sources(file: Path, module: str) -> set[Path]:
    return {f for f in sources.files(file, module) if not f.is_relative_to(_CAPBENCH)}


def unpack(luggage: Luggage, below: Path) -> Path:
    """Lay the files out as they lay where they come from, and let their modules be imported; the folder that they lie below.

    It is this luggage's own, below the given one, and whole or not there. Modules of other luggage, perhaps of an earlier version
    of the same files, that this process has imported from below there are forgotten: they are imported anew.
    """
    into = below / luggage.digest
    _forget(below, but=into)
    if not into.is_dir():
        draft = below / f"{luggage.digest}.{os.getpid()}"
        draft.mkdir(parents=True, exist_ok=True)
        for name, content in luggage.files.items():
            file = _below(draft, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        draft.rename(into)
    folders = {*luggage.folders, *(str(Path(name).parent) for name in luggage.files)}
    for i, known in reversed(
        list(enumerate(sys.path))
    ):  # the plan's own node may have them, too: there other files lie
        if (there := str(Path(known).resolve())) in folders and (place := str(_below(into, there))) not in sys.path:
            sys.path.insert(i, place)
    for folder in luggage.folders:
        if (place := str(_below(into, folder))) not in sys.path:
            sys.path.append(place)
    return into


def _forget(below: Path, *, but: Path) -> None:
    """Let nothing be imported from below a folder, nor be imported already, but for what lies in one there."""

    def forgotten(place: object) -> bool:
        return str(place).startswith(f"{below}{os.sep}") and not str(place).startswith(f"{but}{os.sep}")

    for name in [name for name, module in list(sys.modules.items()) if any(map(forgotten, _places(module)))]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if not forgotten(place)]
    importlib.invalidate_caches()


def _places(module: ModuleType) -> list[object]:
    """Where a module lies: a file, or the folders of a package without any."""
    spec = getattr(module, "__spec__", None)
    folders = spec.submodule_search_locations if isinstance(spec, ModuleSpec) else None
    return [getattr(module, "__file__", None), *(folders or ())]


def moved(step: Step, into: Path) -> Step:
    """The step with its method's files below the folder that `unpack` gave; its key stays."""
    if not isinstance(step, FineTune):
        return step
    there: MethodRef = replace(step.method, spec=_moved(step.method.spec, into))
    if there == step.method:
        return step
    found = replace(step, method=there)
    vars(found).update(key=step.key, config=step.config)  # as if they had been asked for before it moved
    return found


def _moved(spec: str, into: Path) -> str:
    for prefix in (PEFT, CHECKPOINTS):
        if spec.startswith(prefix):
            return f"{prefix}{_below(into, spec.removeprefix(prefix))}"
    where, _, attribute = spec.rpartition(":")
    return f"{_below(into, where)}:{attribute}" if where.endswith(".py") else spec


def _below(into: Path, path: str) -> Path:
    return into / Path(path).relative_to(Path(path).anchor)
