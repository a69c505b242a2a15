"""Carry out the readings of collected tests in several processes; the tests then find them in the store."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from capbench.pipeline import processes
from capbench.pipeline.cores import limit_threads
from capbench.session.progress import Lines, Share, bar
from capbench.store.store import Store
from capbench.studies.judge import Judge, all_there, at_once, no_models
from capbench.studies.lab import Lab, Reading
from capbench.zoo.bundle import shelf

Asked = Sequence[tuple[Reading, Sequence[str]]]


class _NotedError(Exception):
    """Ends a test's body: what it reads is known."""


class _Noting(Judge):
    """A judge that notes a test's first readings."""

    def measure(self, *readings: tuple[Reading, Sequence[str]], where_lost: Asked = ()) -> None:
        raise _NotedError(readings, where_lost)


def read_ahead(
    tests: Iterable[tuple[Judge, Callable[[Judge], object]]],
    root: Path,
    *,
    jobs: int,
    bundled: bool,
    where_lost: bool = True,
    say: Callable[[str], None] = lambda line: None,
    quiet: bool = False,
) -> None:
    """Read what each test's first `measure` reads, as its judge would do it, each test in one of so many processes.

    tests: judges of models that are made, with what the tests do with them. root: of the store. bundled: as of the run's lab.
    where_lost: also what is read only where a behaviour is lost. say, quiet: how far it is, see session.progress.
    What fails, or cannot be sent to another process, as a reading that a test file defines, is left to the test itself.
    """
    work = [sent for judge, body in tests if not judge.blocked and (sent := _sent(judge, body, where_lost=where_lost))]
    if len(work) < 2:
        return
    context = processes.context()
    far_end, line = context.Pipe(duplex=False)  # workers exit when our end is closed
    pool = ProcessPoolExecutor(
        min(jobs, len(work)), mp_context=context, initializer=_start_worker, initargs=(root, bundled, far_end)
    )
    try:
        # A worker that dies breaks the pool: the tests read the rest.
        with suppress(RuntimeError), bar(len(work), "test", quiet=quiet) as show:
            waiting = {pool.submit(_read, sent) for sent in work}
            share = Share(len(work))
            lines = Lines(say, lambda: _words(len(work) - len(waiting), len(work)), share.left, quiet=quiet)
            while waiting:
                done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                show(len(done))
                share.add(len(done))
                lines.advance()
                for future in done:
                    future.result()
    finally:
        line.close()
        pool.shutdown(wait=True, cancel_futures=True)
        far_end.close()


def _words(done: int, tests: int) -> str:
    return f"the models of {done} of {tests} tests measured"


def _sent(judge: Judge, body: Callable[[Judge], object], *, where_lost: bool) -> bytes | None:
    """A judge without lab and claim's functions, and what its test reads, as bytes; None if there is no telling them."""
    try:
        body(_Noting(**judge.given))
    except _NotedError as noted:
        readings, more = noted.args
    except Exception:
        return None
    else:
        return None
    claim = replace(judge.claim, needs=no_models, needs_where_lost=no_models)
    plain = {**judge.given, "claim": claim, "lab": None, "timed": at_once, "make": all_there}
    with suppress(Exception):  # of pickle, it may be any
        return pickle.dumps((plain, readings, more if where_lost else ()))
    return None


_worker: dict[str, Lab] = {}


def _start_worker(root: Path, bundled: bool, line: Any) -> None:
    processes.die_when_left(line)
    limit_threads()
    store = Store(root)
    _worker["lab"] = Lab(store, bundled=shelf()) if bundled else Lab(store)


def _read(sent: bytes) -> None:
    with warnings.catch_warnings(), suppress(Exception):  # the test says what is wrong
        warnings.simplefilter("ignore")
        plain, readings, where_lost = pickle.loads(sent)
        Judge(**{**plain, "lab": _worker["lab"]}).measure(*readings, where_lost=where_lost)
