"""Test ids that are the same in a clone and an installed package, and the paths named on the command line."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

SUITES = "capbench.suites"


def portable_id(item: pytest.Item) -> str:
    """The test's id for a report: `suites/pcfg/test_x.py::test[case]` for every suite, wherever it is installed.

    pytest's own id is relative to its root folder; for tests outside that folder it lacks part of the path.
    """
    path, separator, name = item.nodeid.partition("::")
    suites = shipped_suites()
    if suites is not None and item.path.is_relative_to(suites):
        path = f"suites/{item.path.relative_to(suites).as_posix()}"
    return f"{path or item.path.name}{separator}{name}"


def asked_paths(config: pytest.Config) -> list[Path]:
    """The files and folders on the command line, given as paths or, with --pyargs, as modules. Omits those with a `::`."""
    here = config.invocation_params.dir
    given = [argument for argument in config.args if "::" not in argument]
    modules = {argument: _of_module(argument) for argument in given} if config.option.pyargs else {}
    return [modules.get(argument) or Path(os.path.normpath(here / argument)) for argument in given]


def possible_files(config: pytest.Config, portable: str) -> list[Path]:
    """Where this run may have the file of a test, given the test's id in a report."""
    path, suites = portable.partition("::")[0], shipped_suites()
    return [config.rootpath / path, *([suites.parent / path] if suites is not None else [])]


@cache
def shipped_suites() -> Path | None:
    """The folder of the suites; None if capbench is installed without them."""
    return _of_module(SUITES)


def _of_module(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except (ImportError, AttributeError, ValueError):  # a path, not a module
        return None
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    place = folders[0] if folders else spec.origin
    return Path(place) if place else None
