"""One run of the suites: its options, its models, its results. Knows nothing of pytest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from capbench import __version__, running
from capbench.errors import MethodError
from capbench.judge import Case, Claim, Judge
from capbench.lab import Lab, Study
from capbench.methods import registry
from capbench.pipeline.plan import Plan, available_cores
from capbench.pipeline.steps import Step
from capbench.presets import SCALES, Scale
from capbench.protocols.studies import STUDIES
from capbench.results import Results, RunInfo, record_from_dict
from capbench.store import Store, default_root


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line, checked. jobs: trainings at a time; methods: the specs as given."""

    scale: str
    seeds: int
    methods: tuple[str, ...]
    extended: bool
    device: str
    jobs: int
    cache: str | None
    report: str | None
    command: str

    @classmethod
    def parse(cls, given: Any, *, workers: int, command: str) -> Options:
        """Check pytest's option namespace. Raises UsageError, one line, before anything is computed."""
        running.check_scale("--capbench-scale", scale := given.capbench_scale)
        running.check_device("--capbench-device", device := given.capbench_device)
        methods = tuple(dict.fromkeys(given.capbench_method or ["full"]))
        for method in methods:
            # A method that is not there is said in the header; the tests that need it will say so too, the others go on.
            with contextlib.suppress(MethodError):
                running.find_method("--capbench-method", method)
        cores = max(1, available_cores() // workers)
        return cls(
            scale=scale,
            seeds=running.count("--capbench-seeds", given.capbench_seeds, SCALES[scale]().seeds),
            methods=methods,
            extended=given.capbench_extended,
            device=device,
            jobs=1 if device == "cuda" else running.count("--capbench-jobs", given.capbench_jobs, cores),
            cache=given.capbench_cache,
            report=given.capbench_report,
            command=command,
        )


class CapbenchSession:
    """Holds what the tests of one run share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.scale: Scale = SCALES[options.scale]()
        self.seeds = tuple(range(options.seeds))
        self.started = time.time()
        self._errors: dict[str, str] = {}  # step key -> why it could not be made
        self._methods: dict[str, registry.MethodRef | MethodError] = {}

    @cached_property
    def store(self) -> Store:
        return Store(default_root(self.options.cache))

    @cached_property
    def lab(self) -> Lab:
        return Lab(self.store)

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

    def prepare_report(self) -> None:
        """Raises UsageError now if the report could not be written later."""
        from capbench.report import check_directory

        check_directory(Path(self.options.report or "reports"))
        self.report_folder.mkdir()

    def header(self) -> list[str]:
        """Lines for the top of the terminal output, with what is wrong with a method, if anything."""
        o = self.options
        lines = [
            f"capbench: {__version__}, scale {o.scale}, {len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}, "
            f"method {', '.join(o.methods)}, device {o.device}, cache {default_root(o.cache)}"
        ]
        return lines + [str(m) for m in map(self._method, o.methods) if isinstance(m, MethodError)]

    def prepare(self, tests: Iterable[tuple[Claim, Case | None, str]], *, say: Callable[[str], None]) -> None:
        """Make the models that the tests need. What cannot be made is remembered, for the tests that need it."""
        steps: list[Step] = []
        for claim, case, method in tests:
            needed, _ = self._needed(claim, case or Case(), method)
            steps += [step for by_name in needed.values() for step in by_name.values()]
        self._errors = running.make(Plan(steps), self.store, jobs=self.options.jobs, say=say)

    def judge(
        self, claim: Claim, case: Case | None, method: str, *, nodeid: str, timed: Callable[[Callable[[], None]], None]
    ) -> Judge:
        """The judge of one test, with its models or the reason why they are missing."""
        case = case or Case()
        steps, blocked = self._needed(claim, case, method)
        for by_name in steps.values():
            for step in Plan(by_name.values()).steps:
                blocked = blocked or self._errors.get(step, "")
        return Judge(
            claim=claim,
            case=case,
            nodeid=nodeid,
            method=self._name(method),
            study=self._study(claim, method),
            lab=self.lab,
            steps=steps,
            blocked=blocked,
            timed=timed,
        )

    def results(self, records: Sequence[Mapping[str, Any]]) -> Results:
        """The run so far."""
        from capbench.capability import capabilities

        # By test, not by time of arrival: the same run gives the same file however its tests were spread.
        built = tuple(record_from_dict(r) for r in sorted(records, key=lambda r: str(r["nodeid"])))
        return Results(run=self._run_info(), records=built, capabilities=capabilities(built))

    def _study(self, claim: Claim, method: str) -> Study:
        found = self._method(method) if method else None
        ref = found if isinstance(found, registry.MethodRef) else None
        return STUDIES[claim.study](self.scale, ref, self.options.device)

    def _needed(self, claim: Claim, case: Case, method: str) -> tuple[dict[int, Mapping[str, Step]], str]:
        """The test's steps by seed and name; or none, and why."""
        if method and isinstance(error := self._method(method), MethodError):
            return {}, str(error)
        study = self._study(claim, method)
        try:
            return {seed: claim.needs(study, seed, case) for seed in self.seeds}, ""
        except Exception as error:  # a mistake in one suite must not cost the others
            return {}, f"the models of {claim.id}[{case}] cannot be named: {registry.one_line(error)}"

    def _method(self, spec: str) -> registry.MethodRef | MethodError:
        if spec not in self._methods:
            try:
                self._methods[spec] = registry.find(spec)
            except MethodError as error:
                self._methods[spec] = error
        return self._methods[spec]

    def _name(self, spec: str) -> str:
        found = self._method(spec) if spec else None
        return found.name if isinstance(found, registry.MethodRef) else spec

    def _run_info(self) -> RunInfo:
        o = self.options
        return running.run_info(
            run_id=self.report_folder.name,
            device=o.device,
            jobs=o.jobs,
            scale=o.scale,
            seeds=self.seeds,
            methods=tuple(self._name(m) for m in o.methods),
            command=o.command,
            started=self.started,
        )
