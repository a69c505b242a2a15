"""One run of the suites: what its tests share, from the header to the results."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from capbench import __version__
from capbench.errors import MethodError
from capbench.expectations.watch import Watch
from capbench.pipeline.steps import describe
from capbench.results import Results, RunInfo
from capbench.session.models import Models, Tests
from capbench.session.options.checked import Options
from capbench.session.report import Recorder, run_info
from capbench.session.studies import Studies
from capbench.session.variants import Variants

if TYPE_CHECKING:
    from capbench.compare.baseline import Baseline
    from capbench.session.variants import OnVariants


@dataclass(frozen=True)
class Collected:
    """The tests of a run that need models: those on the studies' own tasks, and those on variants of them."""

    tests: Tests = ()
    on_variants: OnVariants = ()


class CapbenchSession:
    """Holds what the tests of one run share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started = time.time()
        self.studies = Studies(options)
        self.models = Models(self.studies)
        self.variants = Variants(self.studies, self.models)
        self.recorder = Recorder()

    @cached_property
    def report_folder(self) -> Path:
        """Where this run's report goes; a name of its own."""
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
        """What this run is compared with, if anything. Raises UsageError where that cannot be."""
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
        """Holds the run against what its user expects."""
        return Watch(self.options.expect)

    def prepare_report(self) -> None:
        """Raises UsageError now if the report could not be written later."""
        from capbench.report import check_directory

        check_directory(Path(self.options.report or "reports"))
        self.report_folder.mkdir()

    def header(self) -> list[str]:
        """Lines for the top of the terminal output, with what is wrong with a method, if anything."""
        o = self.options
        lines = [
            f"capbench: {__version__}, scale {o.scale}, {len(self.studies.seeds)} seed{'s' * (len(self.studies.seeds) > 1)}, "
            f"method {', '.join(o.methods)}, device {o.device}, cache {o.root}"
            + (f", expecting {o.expect.name}" if o.expect else "")
        ]
        return lines + [str(m) for m in map(self.studies.method, o.methods) if isinstance(m, MethodError)]

    def prepare(self, collected: Collected, *, say: Callable[[str], None]) -> None:
        """Make the models that the tests need. What cannot be made is remembered, for the tests that need it."""
        self.models.prepare(collected.tests, say=say)
        self.variants.prepare(collected.on_variants, say=say)

    def results(self) -> Results:
        """The run so far."""
        records = self.recorder.records()
        return Results(run=self._run_info(), records=records, capabilities=self.studies.capabilities(records))

    def _run_info(self) -> RunInfo:
        o = self.options
        return run_info(
            run_id=self.report_folder.name,
            device=o.device,
            jobs=o.at_once.jobs,
            scale=o.scale,
            seeds=self.studies.seeds,
            methods=tuple(self.studies.name(m) for m in o.methods),
            command=o.command,
            started=self.started,
            task={"id": o.task.id, "specification": describe(o.task)} if o.task else None,
        )
