"""A folder for what a process of a cluster keeps while it lives. Ray ends such processes without a word, so others clean up."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path


def folder() -> Path:
    """This process's own, made when it is first asked for. Those of processes of this machine that are no more go then."""
    return _folder(os.getpid())


@cache
def _folder(process: int) -> Path:
    sweep()
    found = Path(tempfile.gettempdir(), f"{_prefix()}{process}").resolve()
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def sweep() -> None:
    """Remove what dead processes left."""
    for path in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        process = path.name.removeprefix(_prefix())
        if process.isdecimal() and not _alive(int(process)):
            with suppress(OSError):
                shutil.rmtree(path)


def _prefix() -> str:
    return f"capbench-ray-{platform.node()}-"  # machines may share the folder, if nothing else


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
