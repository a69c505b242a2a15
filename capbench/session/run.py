"""One run of the suites: what its tests share, from the header to the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench import __version__
from capbench.errors import MethodError
from capbench.expectations.watch import Watch
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import describe
from capbench.results import Results, RunInfo, record_from_dict
from capbench.session import running
from capbench.session.models import Models
from capbench.session.options import Options
from capbench.session.studies import Studies
from capbench.session.variants import Variants
from capbench.studies.judge import Case, Claim, Judge

if TYPE_CHECKING:
    from capbench.compare.baseline import Baseline


class CapbenchSession:
    """Holds what the tests of one run share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started = time.time()
        self.studies = Studies(options)
        self.models = Models(self.studies)
        self.variants = Variants(self.studies, self.models)

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
        if not (o.baseline or o.baseline_save or o.fail_on):
            return None
        from capbench.compare.baseline import Baseline

        return Baseline.find(
            o.baseline,
            save=o.baseline_save,
            fail_on=o.fail_on,
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

    def judge(
        self, claim: Claim, case: Case | None, method: str, *, nodeid: str, timed: Callable[[Callable[[], None]], None]
    ) -> Judge:
        """The judge of one test, with its models or the reason why they are missing."""
        case = case or Case()
        steps, blocked = self.studies.needed(claim, case, method)
        for by_name in steps.values():
            for step in Plan(by_name.values()).steps:
                blocked = blocked or self.models.errors.get(step, "")
        return Judge(
            claim=claim,
            case=case,
            nodeid=nodeid,
            method=self.studies.name(method),
            study=self.studies.of(claim, method),
            lab=self.models.lab,
            steps=steps,
            blocked=blocked,
            timed=timed,
        )

    def results(self, records: Sequence[Mapping[str, Any]]) -> Results:
        """The run so far."""
        # By test, not by time of arrival: the same run gives the same file however its tests were spread.
        built = tuple(record_from_dict(r) for r in sorted(records, key=lambda r: str(r["nodeid"])))
        return Results(run=self._run_info(), records=built, capabilities=self.studies.capabilities(built))

    def _run_info(self) -> RunInfo:
        o = self.options
        return running.run_info(
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
