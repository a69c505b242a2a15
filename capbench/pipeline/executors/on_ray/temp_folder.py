"""A temporary folder per worker process. Ray kills workers without warning, so other processes clean up after them."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path


def folder() -> Path:
    """This process's folder, created on first use, when those of dead processes on this machine are removed."""
    return _folder(os.getpid())


@cache
def _folder(process: int) -> Path:
    remove_left_behind()
    found = Path(tempfile.gettempdir(), f"{_prefix()}{process}").resolve()
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def remove_left_behind() -> None:
    """Remove the folders of dead processes on this machine."""
    for path in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        process = path.name.removeprefix(_prefix())
        if process.isdecimal() and not _alive(int(process)):
            with suppress(OSError):
                shutil.rmtree(path)


def _prefix() -> str:
    return f"capbench-ray-{platform.node()}-"  # machines may share the folder for temporary files


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
