"""A task of one's own, from a file or module."""

from __future__ import annotations

import importlib
from pathlib import Path

from capbench.errors import CapbenchError, UsageError
from capbench.methods.specs.user_code import import_file, make_cwd_importable, one_line
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.variant import Variant
from capbench.tasks.pcfg.setting import PcfgSetting


def find_task(option: str, given: str) -> TaskSpec:
    """The task of `file.py:attr` or `pkg.mod:attr`: a TaskSpec, a Variant's, one that a function returns, or a PcfgSetting.

    A setting is asked for its Counter, from a to b. Raises UsageError, one line that quotes what was given, for anything else.
    """
    where, _, attribute = given.rpartition(":")
    if not where or not attribute.isidentifier():
        raise UsageError(f"{option}={given}: must be of the form path/file.py:attr or pkg.mod:attr")
    if where.endswith(".py") and not Path(where).is_file():
        raise UsageError(f"{option}={given}: there is no file {where!r} here ({Path.cwd()})")
    try:
        if where.endswith(".py"):
            module = import_file(Path(where).resolve())
        else:
            make_cwd_importable()
            module = importlib.import_module(where)
        if not hasattr(module, attribute):
            raise UsageError(f"there is no {attribute!r} in it")
        found = getattr(module, attribute)
        found = found() if callable(found) else found
        if isinstance(found, PcfgSetting):
            found = TaskSpec(setting=found)
    except CapbenchError as error:
        raise UsageError(f"{option}={given}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{option}={given}: {one_line(error)}") from None
    if isinstance(found, Variant):
        found = found.task
    if not isinstance(found, TaskSpec):
        raise UsageError(f"{option}={given}: is a {type(found).__name__}, not a capbench.studies.pcfg.own.TaskSpec")
    return found
