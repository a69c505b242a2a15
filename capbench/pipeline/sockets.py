"""Sockets of processes, where the folder for temporary files has a longer path than a socket can have."""

from __future__ import annotations

import multiprocessing.util
import os
import tempfile

from capbench.errors import UsageError

_LONGEST = 103  # bytes of a socket's path: 107 on Linux, 103 on macOS
_OTHERS = ("/tmp", "/var/tmp", "/dev/shm")
_OF_PROCESSES = len("/pymp-12345678/listener-12345678")


def folder(room: int) -> str:
    """The folder for temporary files, or another one if paths that are longer than its own by `room` bytes are too long.

    Raises UsageError if there is none.
    """
    usual = tempfile.gettempdir()
    for place in (usual, *_OTHERS):
        if len(os.fsencode(place)) + room <= _LONGEST and os.access(place, os.W_OK | os.X_OK):
            return place
    raise UsageError(
        f"TMPDIR={usual}: too long for a socket's path, which has at most {_LONGEST} bytes, and no other folder for temporary "
        f"files can be used; give one of at most {_LONGEST - room}"
    )


def make_room() -> None:
    """Let this process's sockets, those of `multiprocessing` in it, lie where their paths fit. Raises UsageError."""
    place = folder(_OF_PROCESSES)
    if place == tempfile.gettempdir():
        return
    before, tempfile.tempdir = tempfile.tempdir, place
    try:
        multiprocessing.util.get_temp_dir()  # is made once in a process, and removed at its end
    finally:
        tempfile.tempdir = before
