"""The options of a run, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capbench.checkpoints import choice
from capbench.configs import Precision
from capbench.errors import MethodError, UsageError
from capbench.expectations.files import Expectations
from capbench.methods.specs import arguments
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.cores import available_cores
from capbench.pipeline.executors.on_ray import cluster
from capbench.session import running
from capbench.store.store import default_root
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.own_file import find_task
from capbench.studies.registry import BUILT_IN, Table
from capbench.studies.scales import SCALES
from capbench.zoo.choice import check_zoo
from capbench.zoo.command import Selection

VARIANTS = 12  # that a claim is tried on by default


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line, checked. methods: spec as given -> the method, or why it cannot be used."""

    scale: str
    seeds: int
    methods: Mapping[str, MethodRef | MethodError]
    extended: bool
    device: str
    at_once: running.AtOnce
    cache: str | None
    report: str | None
    command: str
    precision: Precision = "float32"
    studies: Table = field(default_factory=lambda: BUILT_IN)  # by name, those of plugins too
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
    selection: Selection = field(default_factory=Selection)
    ray: cluster.RayCluster | None = None  # make models on this cluster

    @classmethod
    def parse(
        cls,
        given: Any,
        *,
        workers: int,
        command: str,
        registered: Mapping[str, str] | None = None,
        studies: Table | None = None,
    ) -> Options:
        """Check pytest's option namespace. Raises UsageError, one line, before anything is computed.

        registered: method name -> spec, from plugins and conftests. studies: those that are known, by name.
        """
        running.check_scale("--capbench-scale", scale := given.capbench_scale)
        ray, device = _ray(given), given.capbench_device
        if not (ray and device == "cuda" and given.capbench_only == "train"):  # only the nodes need what they train on
            running.check_device("--capbench-device", device)
        precision = running.precision("--capbench-precision", given.capbench_precision)
        choice.check_export(given)
        check_zoo(given)
        judged = choice.folder_to_judge(given)
        specs = [judged[0]] if judged else given.capbench_method or ["full"]
        methods = running.find_methods(
            "--capbench-method",
            specs,
            arguments=arguments.parse("--capbench-method-arg", given.capbench_method_arg),
            registered=registered,
        )
        cores = max(1, available_cores() // workers)
        at_once = running.at_once(
            "--capbench-", given.capbench_jobs, given.capbench_stack, device=device, cores=cores, ray=ray is not None
        )
        default = len(judged[1].seeds) if judged else SCALES[scale]
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
            at_once=at_once,
            cache=given.capbench_cache,
            report=given.capbench_report,
            command=command,
            precision=precision,
            studies=studies or BUILT_IN,
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
            selection=Selection(
                tests=tuple(getattr(given, "file_or_dir", ())),  # not with --help
                keyword=given.keyword,
                marks=given.markexpr,
            ),
            ray=ray,
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


def _ray(given: Any) -> cluster.RayCluster | None:
    """The cluster that models are made on, if one is asked for."""
    executor, address, gpus = given.capbench_executor, given.capbench_address, given.capbench_gpus_per_task
    if executor not in ("local", "ray"):
        raise UsageError(f"--capbench-executor={executor}: unknown executor; known: local, ray")
    if executor == "local":
        for option, value in (("--capbench-address", address), ("--capbench-gpus-per-task", gpus)):
            if value is not None:
                raise UsageError(f"{option}={value} is for a Ray cluster; give --capbench-executor=ray, too")
        return None
    cluster.check_installed("--capbench-executor")
    if address is not None:
        cluster.check_address("--capbench-address", address)
    elif getattr(given, "tx", None) or getattr(given, "numprocesses", None):
        raise UsageError(
            "--capbench-executor=ray starts a cluster for one process: leave -n away, or give --capbench-address"
        )
    return cluster.RayCluster(address=address, gpus_per_task=cluster.gpu_share("--capbench-gpus-per-task", gpus))


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
