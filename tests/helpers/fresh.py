"""Code in a process that has imported torch, but nothing of a test's: forked from a server, it costs no import of torch."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from capbench.pipeline.processes import context


def printed(code: str, folder: Path) -> str:
    """What this code prints with `folder` as the current one and first on the path. Raises RuntimeError with its traceback."""
    ours, theirs = context().Pipe(duplex=False)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    process = context().Process(target=_carry_out, args=(theirs, code, str(folder), variables))
    process.start()
    theirs.close()
    try:
        good, said = ours.recv()
    except EOFError:
        good, said = False, "the process ended without an answer"
    process.join()
    if not good:
        raise RuntimeError(said)
    return str(said)


def _carry_out(answer: Any, code: str, folder: str, variables: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path.insert(0, folder)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(code, "<fresh>", "exec"), {"__name__": "fresh_code"})
        answer.send((True, out.getvalue()))
    except BaseException:
        answer.send((False, f"{out.getvalue()}\n{traceback.format_exc()}"))
