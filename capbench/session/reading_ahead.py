"""Carry out the readings of collected tests in several processes; the tests then find them in the store."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from capbench.pipeline import processes
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.steps import Step
from capbench.results import Measurement
from capbench.session.progress import Lines, Share, bar
from capbench.store.keys import key_of
from capbench.store.store import Store
from capbench.studies.base import Study
from capbench.studies.judge import BySeed, Judge, all_there, at_once, no_models
from capbench.studies.lab import Bench, Lab, Reading, config_of, part_of
from capbench.zoo.bundle import shelf

Asked = Sequence[tuple[Reading, Sequence[str]]]


class _NotedError(Exception):
    """Ends a test's body: what it reads is known."""


class _NotKeptError(Exception):
    """A reading is to be carried out."""


class _Looking(Lab):
    """Gives nothing of what it keeps."""

    def read(self, reading: Reading, bench: Bench[Any], steps: Any, arguments: Any = None) -> tuple[Measurement, ...]:
        if not self.keeps(reading, bench, steps, arguments):
            raise _NotKeptError
        return ()


class _Noting(Judge):
    """A judge that notes a test's first readings."""

    def measure(self, *readings: tuple[Reading, Sequence[str]], where_lost: Asked = ()) -> None:
        raise _NotedError(readings, where_lost)


def anything_missing(tests: Iterable[tuple[Judge, Callable[[Judge], object]]], store: Store, *, bundled: bool) -> bool:
    """Whether anything of what each test's first `measure` reads is not kept, as far as there is telling."""
    lab = _Looking(store, bundled=shelf()) if bundled else _Looking(store)
    for judge, body in tests:
        if judge.blocked or not (found := _Asked.by(judge, body, False)):
            continue
        try:
            Judge(**{**found.judge.given, "lab": lab}).measure(*found.readings)
        except _NotKeptError:
            return True
        except Exception:  # it fails where it is asked for, and is told there
            continue
    return False


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
    """Read what each test's first `measure` reads, as its judge would do it, each seed of it in one of so many processes.

    What readings say they are made of, of several models together (see `Part`), is read first, each on its own.
    tests: judges of models that are made, with what the tests do with them. root: of the store. bundled: as of the run's lab.
    where_lost: also what is read only where a behaviour is lost. say, quiet: how far it is, see session.progress.
    What fails, or cannot be sent to another process, as a reading that a test file defines, is left to the test itself.
    """
    asked = [found for judge, body in tests if not judge.blocked and (found := _Asked.by(judge, body, where_lost))]
    known: set[str] = set()
    first = [(one, work) for one in asked for work in one.first(known)]
    if len(first) < 2:
        return
    context = processes.context()
    far_end, line = context.Pipe(duplex=False)  # workers exit when our end is closed
    pool = ProcessPoolExecutor(
        min(jobs, len(first)), mp_context=context, initializer=_start_worker, initargs=(root, bundled, far_end)
    )
    try:
        # A worker that dies breaks the pool: the tests read the rest.
        with suppress(RuntimeError), bar(len(asked), "test", quiet=quiet) as show:
            waiting = {pool.submit(work): one for one, work in first}
            share, done = Share(len(waiting)), 0
            lines = Lines(say, lambda: _words(done, len(asked)), share.left, quiet=quiet)
            while waiting:
                ended, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in ended:
                    one = waiting.pop(future)
                    more = one.ended(future.result(), known)
                    waiting |= {pool.submit(work): one for work in more}
                    share.more(len(more))
                    if one.over:
                        done += 1
                        show(1)
                share.add(len(ended))
                lines.advance()
    finally:
        line.close()
        pool.shutdown(wait=True, cancel_futures=True)
        far_end.close()


def _words(done: int, tests: int) -> str:
    return f"the models of {done} of {tests} tests measured"


Work = Callable[[], bool | None]  # of a process; see `_read`


@dataclass(kw_only=True)
class _Asked:
    """What a test reads: at first, and then, on all seeds, what is read where a behaviour is lost on one.

    judge: without lab and claim's functions, so that it can be sent; its lab is the process's. open: pieces of work that have
    not ended.
    """

    judge: Judge
    readings: Asked
    where_lost: Asked
    open: int = 0
    lost: bool = False
    failed: bool = False  # so will the test, before it looks at what is lost

    @classmethod
    def by(cls, judge: Judge, body: Callable[[Judge], object], where_lost: bool) -> _Asked | None:
        """None if there is no telling, or it cannot be sent."""
        try:
            body(_Noting(**judge.given))
        except _NotedError as noted:
            readings, more = noted.args
        except Exception:
            return None
        else:
            return None
        claim = replace(judge.claim, needs=no_models, needs_where_lost=no_models)
        plain: Any = {**judge.given, "claim": claim, "lab": None, "timed": at_once, "make": all_there}
        found = cls(judge=Judge(**plain), readings=readings, where_lost=more if where_lost else ())
        try:
            pickle.dumps(found)
        except Exception:  # of pickle, it may be any
            return None
        return found

    @property
    def over(self) -> bool:
        return self.open == 0

    def first(self, known: set[str]) -> list[Work]:
        """What it reads at first. known: keys of parts that are read already; those of these are added."""
        return self._work(self.readings, self.judge.steps, known)

    def ended(self, lost: bool | None, known: set[str]) -> list[Work]:
        """Called when a piece of work has ended; what is to be read besides. lost: see `_read`."""
        self.open -= 1
        self.lost |= bool(lost)
        self.failed |= lost is None
        if self.open or self.failed or not self.lost or not self.where_lost:
            return []
        more, self.where_lost = self.where_lost, ()
        return self._work((*self.readings, *more), self.judge.all_steps, known)

    def _work(self, readings: Asked, steps: BySeed, known: set[str]) -> list[Work]:
        """Parts of several models first, which take long, then seed by seed."""
        found: list[Work] = []
        for seed, by_name in steps.items():
            for key, part in _parts(self.judge.study, seed, readings, by_name):
                if key not in known:
                    known.add(key)
                    found.append(partial(_read_part, part))
        given = {**self.judge.given, "if_lost": {}}
        found += [
            partial(_read, pickle.dumps(({**given, "steps": {seed: by_name}}, readings)))
            for seed, by_name in steps.items()
        ]
        self.open += len(found)
        return found


def _parts(study: Study, seed: int, readings: Asked, steps: Mapping[str, Step]) -> Iterator[tuple[str, bytes]]:
    """What readings are made of, of several models together, by key."""
    bench = Bench(study=study, seed=seed)
    for reading, _ in readings:
        part = part_of(reading)
        if part is None or not part.of or not steps.keys() >= set(part.of):
            continue
        of = {name: steps[name] for name in part.of}
        for arguments in part.arguments(study):
            yield (
                key_of(config_of(part.reading, bench, of, arguments)),
                pickle.dumps((part.reading, bench, of, arguments)),
            )


_worker: dict[str, Lab] = {}


def _start_worker(root: Path, bundled: bool, line: Any) -> None:
    processes.die_when_left(line)
    limit_threads()
    store = Store(root)
    _worker["lab"] = Lab(store, bundled=shelf()) if bundled else Lab(store)


def _read(sent: bytes) -> bool | None:
    """Whether a behaviour is lost; None if something failed: the test says what is wrong."""
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        given, readings = pickle.loads(sent)
        judge = Judge(**{**given, "lab": _worker["lab"]})
        judge.measure(*readings)
        return judge.lost
    return None


def _read_part(sent: bytes) -> bool | None:
    """False: by a part nothing is known to be lost. What fails here, fails where it is asked for again."""
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        reading, bench, steps, arguments = pickle.loads(sent)
        _worker["lab"].read(reading, bench, steps, arguments)
    return False
