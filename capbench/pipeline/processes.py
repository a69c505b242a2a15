"""New processes, forked from one that has imported torch and nothing of the user's."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from functools import cache
from multiprocessing.context import ForkServerContext
from typing import Any

from capbench.pipeline import sockets


@cache
def context() -> ForkServerContext:
    """Processes of this context are forked from a server: after torch was used, a fork may hang.

    Raises UsageError where no folder can be used for their sockets.
    """
    sockets.make_room()
    found = multiprocessing.get_context("forkserver")
    # The first is what creating an optimizer imports.
    found.set_forkserver_preload(["torch._dynamo", "capbench.pipeline.fine_tuning"])
    return found


def warm_up() -> None:
    """Let the server import torch in the background, before the first process is needed."""
    from multiprocessing.forkserver import ensure_running

    context()
    ensure_running()


def die_when_left(line: Any) -> None:
    """End this process when the other end of a connection is closed, also by a kill: nothing may go on training alone.

    line: a connection on which the other end sends nothing.
    """

    def watch() -> None:
        multiprocessing.connection.wait([line])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
