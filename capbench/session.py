"""One run of the suites: its options, its models, its results. Knows nothing of pytest."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from capbench import __version__
from capbench.errors import MethodError, UsageError
from capbench.judge import Case, Claim, Judge
from capbench.lab import Lab
from capbench.methods import registry
from capbench.pipeline.plan import Plan, available_cores
from capbench.pipeline.steps import Step
from capbench.presets import SCALES, Preset
from capbench.protocols.pcfg_counter import PcfgCounter
from capbench.results import Results, RunInfo, record_from_dict
from capbench.store import DamagedArtefact, Store, default_root


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
        scale = given.capbench_scale
        if scale not in SCALES:
            raise UsageError(f"--capbench-scale={scale}: unknown scale; known: {', '.join(SCALES)}")
        device = given.capbench_device
        if device not in ("cpu", "cuda"):
            raise UsageError(f"--capbench-device={device}: unknown device; known: cpu, cuda")
        if device == "cuda" and not _has_cuda():
            raise UsageError("--capbench-device=cuda: this machine, or this build of torch, has no CUDA; use cpu")
        methods = tuple(dict.fromkeys(given.capbench_method or ["full"]))
        for method in methods:
            try:
                registry.find(method)
            except UsageError as error:
                raise UsageError(f"--capbench-method={method}: {error}") from None
            except MethodError:
                pass  # said in the header; the tests that need it will say so too, and the others go on
        cores = max(1, available_cores() // workers)
        return cls(
            scale=scale,
            seeds=_count("--capbench-seeds", given.capbench_seeds, SCALES[scale]().seeds),
            methods=methods,
            extended=given.capbench_extended,
            device=device,
            jobs=1 if device == "cuda" else _count("--capbench-jobs", given.capbench_jobs, cores),
            cache=given.capbench_cache,
            report=given.capbench_report,
            command=command,
        )


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _count(option: str, given: str | None, default: int) -> int:
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal()) or int(given) < 1:
        raise UsageError(f"{option}={given}: must be a whole number of at least 1")
    return int(given)


class CapbenchSession:
    """Holds what the tests of one run share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.preset: Preset = SCALES[options.scale]()
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
        from capbench.pipeline.plan import limit_threads

        limit_threads()
        steps: list[Step] = []
        for claim, case, method in tests:
            needed, _ = self._needed(claim, case or Case(), method)
            steps += [step for by_name in needed.values() for step in by_name.values()]
        plan = Plan(steps)
        with warnings.catch_warnings(record=True) as damaged:
            warnings.simplefilter("always", DamagedArtefact)
            missing = plan.missing(self.store)
        for warning in damaged:
            say(f"capbench: warning: {warning.message}")
        if not missing:
            return
        cost = sum(step.cost for step in missing)
        say(
            f"capbench: {len(missing)} of {len(plan.steps)} models to make ({cost} training steps), {self.options.jobs} at a time"
        )
        began = time.monotonic()
        with _bar(cost) as progress:
            self._errors = plan.run(self.store, jobs=self.options.jobs, progress=progress)
        say(f"capbench: models made in {time.monotonic() - began:.0f} s")

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
            study=self._study(method),
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

    def _study(self, method: str) -> PcfgCounter:
        found = self._method(method) if method else None
        return PcfgCounter(
            preset=self.preset,
            method=found if isinstance(found, registry.MethodRef) else None,
            device=self.options.device,
        )

    def _needed(self, claim: Claim, case: Case, method: str) -> tuple[dict[int, Mapping[str, Step]], str]:
        """The test's steps by seed and name; or none, and why."""
        if method and isinstance(error := self._method(method), MethodError):
            return {}, str(error)
        study = self._study(method)
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
        return RunInfo(
            run_id=self.report_folder.name,
            capbench=__version__,
            git_commit=_git_commit(),
            python=platform.python_version(),
            torch=metadata.version("torch"),
            device=o.device,
            threads=o.jobs,
            scale=o.scale,
            seeds=self.seeds,
            methods=tuple(self._name(m) for m in o.methods),
            command=o.command,
            start=datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            seconds=round(time.time() - self.started, 1),
        )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], object]]:
    """A progress bar with the time left, on a terminal; silence elsewhere."""
    from tqdm import tqdm

    with tqdm(total=total, unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        yield bar.update


def _git_commit() -> str | None:
    """The commit of the working directory, if it is a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
