"""Where code lies: the files of capbench's modules and of the user's, and which of them shape results."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import capbench

ROOT = Path(__file__).parent.parent
# What shapes results. Plans, the store, methods (which have a digest each), reports … do not.
SHAPING = (
    "capbench.configs",
    "capbench.tasks",
    "capbench.models",
    "capbench.training.loop",
    "capbench.measure",
    "capbench.studies",
    "capbench.verdicts",
    "capbench.pipeline.build",
    "capbench.pipeline.recording",
    "capbench.pipeline.fine_tuning",
)
# Except what only finds and runs readings, and presets, which enter keys as data.
IN_NO_RESULT = ("lab", "judge", "registry", "scales", "preset")
LIBRARIES = tuple(
    place
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib", "platlib")
    for place in {path, os.path.realpath(path)}
)
_SITES = ("site-packages", "dist-packages")  # also those of another Python, or of a user


def source_of(module: str) -> Path | None:
    """The source file of a module, of capbench or of the user's own; None where it has none (a notebook)."""
    if module.partition(".")[0] == "capbench":
        return module_file(module)
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None and module not in sys.modules:
        with suppress(ImportError, ValueError, AttributeError):  # a.b.c where a is not a package
            found = importlib.util.find_spec(module)
            file = found.origin if found is not None and found.has_location else None
    return Path(file) if file else None


def defined_in(name: str) -> str:
    """The module of a name; for a name of the public face, the one that defines it."""
    top, _, attribute = name.partition(".")
    return capbench.PUBLIC.get(attribute, name) if top == "capbench" else name


def shapes(file: Path) -> bool:
    module = ".".join(("capbench", *file.relative_to(ROOT).with_suffix("").parts))
    if module.startswith("capbench.studies.") and module.rpartition(".")[2] in IN_NO_RESULT:
        return False
    return any(module == part or module.startswith(f"{part}.") for part in SHAPING)


def module_file(module: str) -> Path:
    """Where a module of capbench is, if it is a module and not a name in one."""
    place = ROOT.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def is_ours(file: Path) -> bool:
    return file.is_relative_to(ROOT)


def is_the_users(file: Path) -> bool:
    return file.suffix == ".py" and not is_ours(file) and not any(map(is_library, file.parents))


def is_library(folder: Path) -> bool:
    """Whether installed libraries lie in this folder: the standard library's, a site-packages."""
    return folder.name in _SITES or str(folder) in LIBRARIES


def names_ours(module: str) -> bool:
    return module.partition(".")[0] == "capbench"


def on_the_way(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The files that importing these parts runs; the last may be a name in one."""
    for n in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:n])
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                yield file
