"""The `capbench` command: its entry point, exit codes and one-line errors. Imports no torch by itself."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from capbench import __version__
from capbench.cli import (
    cache,
    calibrate,
    check_capability,
    check_data,
    check_method,
    check_model,
    compare,
    export,
    fidelity,
    judge,
    leaderboard,
    list_runs,
    mapping,
    plan,
    priors,
    show,
    verify,
    zoo,
)
from capbench.errors import CapbenchError, NoTestsError, UsageError
from capbench.session.options.given import unknown_words

# In the order of the help; each has `add(commands)`.
COMMANDS = (
    *(plan, fidelity, mapping, calibrate, priors, compare, list_runs, show, leaderboard, check_method, check_model),
    *(check_capability, check_data, judge, export, verify, zoo, cache),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✔ must not cost the result
    try:
        given = parsed(argv)
        if given.command is None:
            _parser().print_help()
            return 0
        code: int = given.run(given)
        return code
    except UsageError as error:
        return _complain(f"error: {error}", 2)
    except NoTestsError as error:
        return _complain(f"error: {error}", 5)
    except CapbenchError as error:
        return _complain(f"error: {error}", 1)
    except BrokenPipeError:  # `capbench show … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _complain("interrupted; what was made is in the cache, and the same command goes on from there", 130)


def parsed(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """A command line, read: `run` carries it out. Raises UsageError for one that cannot be."""
    given, unknown = _parser().parse_known_args(argv)
    if unknown:
        raise UsageError(unknown_words(" ".join(filter(None, (given.command, getattr(given, "part", None)))), unknown))
    return given


def _complain(message: str, code: int) -> int:
    print(f"capbench: {message}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    """A sub-command is a module whose `add` adds its parser and sets `run`, which takes the options and gives the exit code."""
    parser = _Parser(
        prog="capbench", allow_abbrev=False, description="What fine-tuning does to the capabilities of a model."
    )
    parser.add_argument("--version", action="version", version=f"capbench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in COMMANDS:
        command.add(commands)
    return parser
