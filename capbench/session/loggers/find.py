"""From what a user gives as --capbench-log to a logger."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError, UsageError
from capbench.methods.specs.user_code import import_file, make_cwd_importable, one_line
from capbench.session.loggers.base import Logger

TENSORBOARD = "tensorboard:"
FORMS = "tensorboard:DIR, file.py:attr or pkg.mod:attr"
TOLD = ("curve", "end")  # what a logger is told by


def check(option: str, given: str) -> None:
    """Raises UsageError for what can be told without running anybody's code."""
    where, _, rest = given.rpartition(":")
    if given.startswith(TENSORBOARD):
        if not given.removeprefix(TENSORBOARD):
            raise UsageError(f"{option}={given}: a folder is missing; give tensorboard:DIR")
        if find_spec("tensorboard") is None:
            raise UsageError(f"{option}={given}: needs tensorboard: pip install 'capbench[tensorboard]'")
    elif not where or not rest.isidentifier():
        raise UsageError(f"{option}={given}: must be {FORMS}")
    elif where.endswith(".py") and not Path(where).is_file():
        raise UsageError(f"{option}={given}: there is no file {where!r} here ({Path.cwd()})")


def find(option: str, given: str, run_id: str) -> Logger:
    """The logger: TensorBoard's below DIR, or what a class or function of the user's gives. UsageError quotes what was given."""
    check(option, given)
    if given.startswith(TENSORBOARD):
        from capbench.session.loggers.tensorboard import TensorBoard

        return TensorBoard(Path(given.removeprefix(TENSORBOARD)) / run_id)
    where, _, attribute = given.rpartition(":")
    try:
        if where.endswith(".py"):
            module: Any = import_file(Path(where).resolve())
        else:
            make_cwd_importable()
            module = importlib.import_module(where)
        if not hasattr(module, attribute):
            raise UsageError(f"there is no {attribute!r} in it")
        logger: Logger = getattr(module, attribute)()
    except CapbenchError as error:
        raise UsageError(f"{option}={given}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{option}={given}: {one_line(error)}") from None
    if missing := [name for name in TOLD if not callable(getattr(logger, name, None))]:
        raise UsageError(
            f"{option}={given}: gives a {type(logger).__name__} without {' and '.join(missing)}; "
            "a logger has curve(model, name, points) and end(results)"
        )
    return logger
