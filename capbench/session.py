"""One run of the suites: its options, its models, its results. Knows nothing of pytest."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench import __version__, running
from capbench.checkpoints import choice
from capbench.checkpoints.export import Wanted, export, volume
from capbench.errors import CapbenchError, MethodError, UsageError
from capbench.expectations.files import Expectations
from capbench.expectations.watch import Watch
from capbench.judge import Case, Claim, Judge
from capbench.lab import Lab, Study
from capbench.methods import arguments, registry
from capbench.pipeline.plan import Plan, available_cores
from capbench.pipeline.steps import FineTune, Pretrain, Step
from capbench.presets import SCALES, Scale
from capbench.protocols.own import PcfgOwn, TaskSpec
from capbench.protocols.own_file import find_task
from capbench.protocols.studies import STUDIES
from capbench.results import Results, RunInfo, record_from_dict
from capbench.store import Store, default_root
from capbench.variants.codec import Kept
from capbench.variants.judging import VariantsJudge, seed_of
from capbench.zoo import bundle
from capbench.zoo.choice import check_zoo
from capbench.zoo.manifest import FOLDER

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from capbench.compare.baseline import Baseline
    from capbench.protocols.variant import Variant
    from capbench.variants.drawing import Drawn

VARIANTS = 12  # that a claim is tried on by default
_NO_MODELS = "capbench: no test that was collected needs a model"
OWN_IN_PLACE_OF = "pcfg-counter"  # the study that --capbench-task replaces


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line, checked. jobs: trainings at a time; methods: the specs as given; registered: names from plugins."""

    scale: str
    seeds: int
    methods: tuple[str, ...]
    extended: bool
    device: str
    jobs: int
    cache: str | None
    report: str | None
    command: str
    method_arguments: arguments.Arguments = ()  # given to every method
    registered: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    baseline_save: bool = False
    fail_on: tuple[str, ...] = ()
    expect: Expectations = field(default_factory=Expectations)
    export: str | None = None  # a folder to be written for a training elsewhere, instead of running the tests
    export_data: str = "full"
    only: str | None = None  # "plan" or "train": the models of the tests are printed or made, no test is run
    variants: int | None = None  # how many a claim is tried on; None: such claims are not asked for
    variants_seconds: float = 12 * 60
    variants_seed: int = 0
    replay: tuple[str, ...] = ()  # ids of variants to be tried instead
    task: TaskSpec | None = None  # the user's own, in place of the Counter's
    retrain: bool = False  # no base model is taken from the package
    zoo: str | None = None  # "build" or "verify": the package's base models, in place of the tests
    zoo_dir: str | None = None

    @classmethod
    def parse(cls, given: Any, *, workers: int, command: str, registered: Mapping[str, str] | None = None) -> Options:
        """Check pytest's option namespace. Raises UsageError, one line, before anything is computed."""
        running.check_scale("--capbench-scale", scale := given.capbench_scale)
        running.check_device("--capbench-device", device := given.capbench_device)
        choice.check_export(given)
        check_zoo(given)
        judged = choice.folder_to_judge(given)
        methods = (judged[0],) if judged else tuple(dict.fromkeys(given.capbench_method or ["full"]))
        method_arguments = arguments.parse("--capbench-method-arg", given.capbench_method_arg)
        for method in methods:
            # A method that is not there is said in the header; the tests that need it will say so too, the others go on.
            with contextlib.suppress(MethodError):
                running.find_method("--capbench-method", method, arguments=method_arguments, registered=registered)
        cores = max(1, available_cores() // workers)
        default = len(judged[1].seeds) if judged else SCALES[scale]().seeds
        seeds = running.count("--capbench-seeds", given.capbench_seeds, default)
        if judged:
            choice.check_seeds(given, judged[1], seeds)
            if given.capbench_variants is not None or given.capbench_replay:
                raise UsageError("--capbench-checkpoints: the folder holds no model of a variant; leave variants away")
        return cls(
            scale=scale,
            seeds=seeds,
            methods=methods,
            extended=given.capbench_extended,
            device=device,
            jobs=1 if device == "cuda" else running.count("--capbench-jobs", given.capbench_jobs, cores),
            cache=given.capbench_cache,
            report=given.capbench_report,
            command=command,
            method_arguments=method_arguments,
            registered=registered or {},
            baseline=given.capbench_baseline,
            baseline_save=given.capbench_baseline_save,
            fail_on=tuple(given.capbench_fail_on or ()),
            expect=running.expectations("--capbench-expect", given.capbench_expect),
            export=given.capbench_export,
            export_data=given.capbench_export_data or "full",
            only=choice.only(given),
            variants=None if judged else _variants(given),
            variants_seconds=running.minutes("--capbench-variants-minutes", given.capbench_variants_minutes),
            variants_seed=_hypothesis_seed(given) if _variants(given) else 0,
            replay=tuple(dict.fromkeys(given.capbench_replay or ())),
            task=find_task("--capbench-task", given.capbench_task) if given.capbench_task else None,
            retrain=given.capbench_retrain,
            zoo=given.capbench_zoo,
            zoo_dir=given.capbench_zoo_dir,
        )

    @property
    def in_place_of_tests(self) -> bool:
        """Whether something else is asked for than to run the tests."""
        return bool(self.export or self.only or self.zoo)

    @property
    def root(self) -> Path:
        """Where models are kept: apart from those that came with the package, and what was made of them, if none may."""
        root = default_root(self.cache)
        return root / "retrained" if self.retrain else root


def _variants(given: Any) -> int | None:
    """The number of variants, if any are asked for."""
    if given.capbench_task and (given.capbench_variants is not None or given.capbench_replay):
        raise UsageError("--capbench-task: variants have tasks of their own; give it or --capbench-variants or -replay")
    asked = given.capbench_variants is not None or given.capbench_extended or given.capbench_replay
    return running.count("--capbench-variants", given.capbench_variants, VARIANTS) if asked else None


def _hypothesis_seed(given: Any) -> int:
    """Hypothesis' own option, for exploration; without it the same variants each time. Raises UsageError for no number."""
    seed = getattr(given, "hypothesis_seed", None)
    try:
        return int(seed or 0)
    except ValueError:
        raise UsageError(f"--hypothesis-seed={seed}: must be a whole number for variants to be drawn") from None


class CapbenchSession:
    """Holds what the tests of one run share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.scale: Scale = SCALES[options.scale]()
        self.seeds = tuple(range(options.seeds))
        self.started = time.time()
        self._errors: dict[str, str] = {}  # step key -> why it could not be made
        self._methods: dict[str, registry.MethodRef | MethodError] = {}
        self._drawn: dict[Any, tuple[Drawn, ...]] = {}  # by strategy
        self._variants_end = math.inf

    @cached_property
    def store(self) -> Store:
        return Store(self.options.root)

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
            names=[self._name(method) for method in o.methods] + ([f"task-{o.task.id}"] if o.task else []),
        )

    @cached_property
    def watch(self) -> Watch:
        """Holds the run against what its user expects."""
        return Watch(self.options.expect)

    def subject(self, study: str, case: Case | None) -> str:
        """The id of a capability verdict on the model of this case; '' if there can be none."""
        if study not in STUDIES or case is None or not {"c_tr", "lr"} <= case.parameters.keys():
            return ""
        if self.options.task is not None and study == OWN_IN_PLACE_OF:
            return f"{PcfgOwn.of(self.options.task, self.scale.pcfg, None, self.options.device).task_name}[{case}]"
        return f"{STUDIES[study](self.scale, None, self.options.device).task_name}[{case}]"

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
            f"method {', '.join(o.methods)}, device {o.device}, cache {o.root}"
            + (f", expecting {o.expect.name}" if o.expect else "")
        ]
        return lines + [str(m) for m in map(self._method, o.methods) if isinstance(m, MethodError)]

    def prepare(self, tests: Iterable[tuple[Claim, Case | None, str]], *, say: Callable[[str], None]) -> None:
        """Make the models that the tests need. What cannot be made is remembered, for the tests that need it."""
        steps, _ = self._steps(tests)
        self._errors = self._make(Plan(steps), jobs=self.options.jobs, say=say)

    def _steps(self, tests: Iterable[tuple[Claim, Case | None, str]]) -> tuple[list[Step], list[str]]:
        """The models that the tests need, and why those that cannot even be named cannot be."""
        steps: list[Step] = []
        blocked: dict[str, None] = {}
        for claim, case, method in tests:
            needed, why = self._needed(claim, case or Case(), method)
            steps += [step for by_name in needed.values() for step in by_name.values()]
            blocked |= {why: None} if why else {}
        return steps, list(blocked)

    def _make(self, plan: Plan, *, jobs: int, say: Callable[[str], None], deadline: float = math.inf) -> dict[str, str]:
        return running.make(plan, self.store, jobs=jobs, say=say, deadline=deadline, bundled=not self.options.retrain)

    def zoo(self, tests: Iterable[tuple[Claim, Case | None, str]], *, say: Callable[[str], None]) -> bool:
        """In place of the tests: make and bundle their base models, or check those that are bundled; whether all is well.

        Those of the calibration are not among them. Raises CapbenchError for a model that cannot be made.
        """
        o, folder = self.options, Path(self.options.zoo_dir or FOLDER)
        needed, wrong = self._steps(test for test in tests if test[0].study != "calibration")
        for why in wrong:
            raise CapbenchError(why)
        steps = [step for step in Plan(needed).steps.values() if isinstance(step, Pretrain)]
        if not steps:
            raise UsageError("--capbench-zoo: no test that was collected needs a pretrained model; name other tests")
        if o.zoo == "verify":
            from capbench.zoo.verify import shown, summary, verify

            findings = verify(folder, steps)
            for finding in findings:
                say(shown(finding))
            say(summary(folder, findings))
            return all(finding.mark == "ok" for finding in findings)
        for error in running.make(Plan(steps), self.store, jobs=o.jobs, say=say, bundled=False).values():
            raise CapbenchError(error)
        suites = [word for word in o.command.split()[1:] if not word.startswith("-")]
        command = " ".join(["capbench zoo build", f"--scale={o.scale}", f"--seeds={o.seeds}", *suites])
        made = bundle.build(folder, steps, self.store, scale=o.scale, seeds=self.seeds, command=command)
        size, minutes = sum(e.size for e in made.models) / 1e6, sum(e.seconds for e in made.models) / 60
        say(f"capbench: wrote {len(made.models)} base models to {folder}: {size:.1f} MB, {minutes:.0f} min of training")
        return True

    def only(
        self,
        tests: Iterable[tuple[Claim, Case | None, str]],
        on_variants: Iterable[tuple[Claim, SearchStrategy[Variant], str]],
        *,
        say: Callable[[str], None],
    ) -> list[str]:
        """In place of the tests: print the plan of their models, or make them. Why models cannot be, or were not, made."""
        tests, on_variants = list(tests), list(on_variants)
        steps, wrong = self._steps(tests)
        if self.options.only == "plan":
            from capbench.pipeline.outline import outline

            plan = Plan([*steps, *self._variant_steps(on_variants)])
            bundled = frozenset[str]() if self.options.retrain else bundle.keys()
            say(outline(plan, self.store, jobs=self.options.jobs, bundled=bundled) if plan.steps else _NO_MODELS)
            return wrong
        if not steps and not on_variants and not wrong:
            say(_NO_MODELS)
        self.prepare(tests, say=say)
        self.prepare_variants(on_variants, say=say)
        return [*wrong, *dict.fromkeys(self._errors.values())]

    # Variants

    @cached_property
    def replayed(self) -> tuple[Variant, ...]:
        """The variants named on the command line, if any. Raises UsageError for an unknown id."""
        reports = Path(self.options.report or "reports")
        return tuple(Kept(self.store.root).find(each, reports) for each in self.options.replay)

    def variants(self, strategy: SearchStrategy[Variant]) -> tuple[Variant, ...]:
        """The variants that claims are tried on: replayed, or drawn from the strategy. UsageError if it gives none."""
        return self.replayed or tuple(drawn.variant for drawn in self._draws(strategy))

    def _draws(self, strategy: SearchStrategy[Variant]) -> tuple[Drawn, ...]:
        if strategy not in self._drawn:
            from capbench.variants.drawing import draw

            self._drawn[strategy] = draw(strategy, self.options.variants or VARIANTS, seed=self.options.variants_seed)
        return self._drawn[strategy]

    def prepare_variants(
        self, tests: Iterable[tuple[Claim, SearchStrategy[Variant], str]], *, say: Callable[[str], None]
    ) -> None:
        """Make the models of the variants, as far as the time allows; from now on it runs."""
        self._variants_end = time.monotonic() + self.options.variants_seconds
        if steps := self._variant_steps(tests):
            errors = self._make(Plan(steps), jobs=self.options.jobs, say=say, deadline=self._variants_end)
            self._errors |= errors

    def _variant_steps(self, tests: Iterable[tuple[Claim, SearchStrategy[Variant], str]]) -> list[Step]:
        steps: list[Step] = []
        for claim, strategy, method in tests:
            drawn: tuple[Variant, ...] = ()
            with contextlib.suppress(UsageError):  # its test will say so
                drawn = self.variants(strategy)
            for variant in drawn:
                with contextlib.suppress(Exception):  # its trial will say so
                    steps += claim.needs(
                        self._own(variant.task, method), seed_of(variant), Case(**variant.case)
                    ).values()
        return steps

    def judge_variants(
        self, claim: Claim, strategy: SearchStrategy[Variant], method: str, *, nodeid: str
    ) -> VariantsJudge:
        """The judge of one test on variants."""
        error = self._method(method) if method else None
        return VariantsJudge(
            claim=claim,
            strategy=strategy,
            variants=self.variants(strategy),
            drawn=() if self.options.replay else self._draws(strategy),
            nodeid=nodeid,
            method=self._name(method),
            scale=self.scale.name,
            study=lambda variant: self._own(variant.task, method),
            lab=self.lab,
            make=self._made,
            deadline=self._variants_end,
            blocked=str(error) if isinstance(error, MethodError) else "",
        )

    def _own(self, task: TaskSpec, method: str) -> PcfgOwn:
        found = self._method(method) if method else None
        ref = found if isinstance(found, registry.MethodRef) else None
        return PcfgOwn.of(task, self.scale.pcfg, ref, self.options.device)

    def _made(self, steps: Iterable[Step], deadline: float) -> dict[str, str]:
        """Make what is missing of these; what could not be made before is not tried again."""
        plan = Plan(steps)
        known = {key: self._errors[key] for key in plan.steps if key in self._errors}
        if not known:
            known = self._make(plan, jobs=1, say=lambda _: None, deadline=deadline)
            self._errors |= known
        return known

    def export(self, tests: Iterable[tuple[Claim, Case | None, str]], *, say: Callable[[str], None]) -> None:
        """Write the folder for a training elsewhere: what the tests' fine-tunings by the method under test start from.

        Raises UsageError where there is no such fine-tuning, CapbenchError where a base model could not be made.
        """
        o, wanted = self.options, []
        for claim, case, method in tests:
            name = f"{claim.id}[{case}]" if case and case.parameters else claim.id
            needed, blocked = self._needed(claim, case or Case(), method) if method else ({}, "")
            if blocked:
                raise CapbenchError(blocked)
            for seed, by_name in needed.items():
                wanted += [
                    Wanted(step=step, serves=f"{name}, seed {seed}")
                    for step in Plan(by_name.values()).steps.values()
                    if isinstance(step, FineTune) and step.method == self._method(method)
                ]
        if not wanted:
            raise UsageError("--capbench-export: no test that was collected needs a fine-tuned model; name other tests")
        for error in self._make(Plan(w.step.base for w in wanted), jobs=o.jobs, say=say).values():
            raise CapbenchError(error)
        folder = Path(o.export or "")
        strings, size = volume(wanted, o.export_data)
        say(f"capbench: writing data {o.export_data}: {strings} strings, {size / 1e6:.1f} MB")
        with running.bar(strings, unit="string") as progress:
            made = export(
                folder,
                wanted,
                self.store,
                scale=o.scale,
                seeds=self.seeds,
                streams=o.export_data,
                progress=progress,
            )
        size = sum(file.size for file in made.files.values())
        say(
            f"capbench: wrote {folder}: {len(made.entries)} fine-tunings, {len({e.base for e in made.entries})} base models, "
            f"data {o.export_data}, {size / 1e6:.1f} MB; its README.txt says how to go on"
        )

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
        if self.options.task is not None and claim.study == OWN_IN_PLACE_OF:
            return PcfgOwn.of(self.options.task, self.scale.pcfg, ref, self.options.device)
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
                self._methods[spec] = registry.find(
                    spec, arguments=self.options.method_arguments, registered=self.options.registered
                )
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
