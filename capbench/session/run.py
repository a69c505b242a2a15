"""One run of the suites: what its tests share, from the header to the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from capbench import __version__
from capbench.checkpoints import copies, manifest
from capbench.errors import MethodError, UsageError
from capbench.expectations.watch import Watch
from capbench.methods.specs.checkpoints import Checkpoints
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import describe
from capbench.results import Record, Results, RunInfo
from capbench.session.doubts import doubts
from capbench.session.loggers.base import Loggers
from capbench.session.models import Models, Tests
from capbench.session.options.checked import Options
from capbench.session.report import Recorder, run_info
from capbench.session.studies import ON_A_MODEL, ON_STORIES, Studies
from capbench.session.variants import Variants

if TYPE_CHECKING:
    from capbench.compare.baseline import Baseline
    from capbench.session.variants import OnVariants
    from capbench.studies.judge import Judge

_WORTHWHILE = 10.0  # seconds that models took to make: processes start in two to four


@dataclass(frozen=True)
class Collected:
    """The collected tests that need models: on the studies' own tasks, and on variants of them.

    bodies: for each of the former, what it does with a judge; None where it takes more than that and its parameters.
    """

    tests: Tests = ()
    on_variants: OnVariants = ()
    bodies: Sequence[Callable[[Judge], object] | None] = ()


class CapbenchSession:
    """Holds what the tests of one run share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started, self._began = time.time(), time.monotonic()  # the clock may be set while the run goes on
        self.studies = Studies(options)
        self.models = Models(self.studies)
        self.variants = Variants(self.studies, self.models)
        self.recorder = Recorder()

    @cached_property
    def report_folder(self) -> Path:
        """The folder of this run's report, which no other run has."""
        root = Path(self.options.report or "reports")
        stamp = datetime.fromtimestamp(self.started, UTC).strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{self.options.scale}"
        folder, n = root / name, 1
        while folder.exists():
            n += 1
            folder = root / f"{name}-{n}"
        return folder

    @cached_property
    def baseline(self) -> Baseline | None:
        """The run to compare with, if any. Raises UsageError if the two cannot be compared."""
        o = self.options
        if not o.baseline:
            return None
        from capbench.compare.baseline import Baseline

        return Baseline.find(
            o.baseline,
            save=o.baseline_save,
            gate=o.fail_on,
            reports=Path(o.report or "reports"),
            scale=o.scale,
            names=[self.studies.name(method) for method in o.methods] + ([f"task-{o.task.id}"] if o.task else []),
        )

    @cached_property
    def watch(self) -> Watch:
        """Compares the run with the user's expectations."""
        return Watch(self.options.expect)

    def open_loggers(self) -> None:
        """Make the loggers that were asked for. Raises UsageError for one that cannot be had."""
        from capbench.session.loggers.find import find

        option, given = self.options.log
        found = [(f"{option}={each}", find(option, each, self.report_folder.name)) for each in given]
        self.models.loggers = Loggers(found)

    def prepare_report(self) -> None:
        """Make the report's folder. Raises UsageError if it cannot be written."""
        from capbench.report import check_directory

        check_directory(Path(self.options.report or "reports"))
        while True:
            try:
                self.report_folder.mkdir()
            except FileExistsError:  # another run, begun in the same second, has just made it
                del self.report_folder
            else:
                return

    def header(self) -> list[str]:
        """Lines for the top of the terminal output, with one for each method that cannot be used."""
        o = self.options
        seeds, most = len(self.studies.seeds), len(self.studies.most)
        up_to = f" to {most}" if most > seeds else ""
        lines = [
            f"capbench: {__version__}, scale {o.scale}, {seeds}{up_to} seed{'s' * (most > 1)}, "
            f"method {', '.join(o.methods)}, device {o.device}, cache {o.root}"
            + (f", expecting {o.expect.name}" if o.expect else "")
        ]
        return lines + [str(m) for m in map(self.studies.method, o.methods) if isinstance(m, MethodError)]

    def prepare(self, collected: Collected, *, say: Callable[[str], None], may_read: bool = True) -> None:
        """Make the models that the tests need. Failures are kept for the tests that need those models.

        What only tests of a lost behaviour need is made when that is known: the behaviour is read meanwhile. Unless it may be
        read: then all tests get all models.
        """
        for words in self._copies():
            say(f"capbench: warning: {words}")
        if any(claim.study == ON_STORIES for claim, _, _ in collected.tests):
            self.studies.prepare_stories(say)
        if self.options.model and any(claim.study in ON_A_MODEL for claim, _, _ in collected.tests):
            self._make_room(self.options.model, say)
        self.models.prepare(collected.tests, say=say, if_lost=not may_read)
        if may_read:
            self._make_more(collected, say=say)
        self.variants.prepare(collected.on_variants, say=say)

    def _make_room(self, model: str, say: Callable[[str], None]) -> None:
        """Train no more at a time than memory holds. What cannot be loaded is said of the claims that need it."""
        from capbench.session.fitting import fitting

        with suppress(UsageError):
            self.models.at_once, words = fitting(model, self.models.at_once, device=self.options.device)
            if not self.options.quiet:
                say(f"capbench: {words}")

    def _make_more(self, collected: Collected, *, say: Callable[[str], None]) -> None:
        """Make the further models of the tests that lost a behaviour."""
        from capbench.session.losing import losing, still_open

        if found := still_open(self.models, collected.tests, collected.bodies):
            self._read_ahead([(one.judge, one.body) for one in found if one.body], say=say, where_lost=False)
            self.models.prepare(losing(found, say=say), say=say, if_lost=True)

    def read_ahead(self, collected: Collected, *, say: Callable[[str], None]) -> None:
        """Carry out the readings of the tests in the run's processes, if it has several: see session.reading_ahead."""
        from capbench.session.judging import judge_of

        pairs = zip(collected.tests, collected.bodies, strict=True)
        self._read_ahead(((judge_of(self.models, *test), body) for test, body in pairs if body), say=say)

    def _read_ahead(
        self,
        tests: Iterable[tuple[Judge, Callable[[Judge], object]]],
        *,
        say: Callable[[str], None],
        where_lost: bool = True,
    ) -> None:
        """Where models took no time, nor do readings: they are tiny, or all is kept. Starting processes would cost more."""
        at_once, models = self.models.at_once, self.models
        if at_once.jobs < 2 or self.options.ray or self.options.device != "cpu":
            return
        from capbench.session.reading_ahead import anything_missing, read_ahead

        tests, bundled = list(tests), not self.options.retrain
        if models.seconds < _WORTHWHILE and not (
            models.took([judge for judge, _ in tests]) >= _WORTHWHILE
            and anything_missing(tests, models.store, bundled=bundled)
        ):
            return
        quiet = self.options.quiet
        read_ahead(
            tests, models.store.root, jobs=at_once.jobs, bundled=bundled, where_lost=where_lost, say=say, quiet=quiet
        )

    def _copies(self) -> list[str]:
        """What is to be said of folders of weights that hold the same ones under several names."""
        found: list[str] = []
        for ref in self.options.methods.values():
            if isinstance(ref, MethodRef) and Checkpoints().matches(ref.spec):
                folder = Checkpoints().path(ref.spec)
                with suppress(UsageError):  # of its manifest: said of the models that need it
                    found += copies.warnings(folder, manifest.read(folder))
        return found

    def results(self) -> Results:
        """The run so far."""
        records = self.recorder.records()
        return Results(
            run=self._run_info(records),
            records=records,
            capabilities=self.studies.capabilities(records),
            warnings=doubts(records, self.models.store) if records else (),
        )

    def _run_info(self, records: Sequence[Record]) -> RunInfo:
        o, of_every_claim = self.options, self.studies.seeds
        further = {
            seed for r in records for seed in r.seeds if seed in self.studies.most
        }  # a variant has one of its own
        return run_info(
            run_id=self.report_folder.name,
            device=o.device,
            jobs=self.models.at_once.jobs,
            scale=o.scale,
            seeds=tuple(sorted({*of_every_claim, *further})),
            methods=tuple(self.studies.name(m) for m in o.methods),
            command=o.command,
            started=self.started,
            seconds=time.monotonic() - self._began,
            task={"id": o.task.id, "specification": describe(o.task)} if o.task else None,
        )
