"""The options of a run of suites, checked one by one and together, before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capbench.checkpoints.manifest import Manifest
from capbench.compare.gate import Gate
from capbench.configs import Precision
from capbench.errors import MethodError, UsageError
from capbench.expectations.files import Expectations
from capbench.methods.specs import registry
from capbench.methods.specs.arguments import Arguments
from capbench.methods.specs.checkpoints import Checkpoints
from capbench.methods.specs.distinct import distinct
from capbench.pipeline.executors.on_ray import cluster
from capbench.session.options.at_once import AtOnce, at_once
from capbench.session.options.cache import cache_shown
from capbench.session.options.given import Given
from capbench.session.options.simulated import Simulated, simulated
from capbench.session.options.values import AUTO
from capbench.store.store import beside, default_root
from capbench.studies.base import Attacks
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.own_file import find_task
from capbench.studies.registry import BUILT_IN, Table
from capbench.studies.scales import SCALES
from capbench.verdicts import looks

VARIANTS = 12  # that a claim is tried on by default


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked for. methods: spec as given -> the method, or why it cannot be used."""

    scale: str
    seeds: int  # of every claim
    methods: Mapping[str, registry.MethodRef | MethodError]
    extended: bool
    device: str
    at_once: AtOnce
    cache: str | None
    cache_shown: str  # how its place was given
    report: str | None
    command: str  # the command line, for the report
    auto: bool = False  # further seeds for claims that are undecided
    precision: Precision = "float32"
    studies: Table = field(default_factory=lambda: BUILT_IN)  # by name, those of plugins too
    baseline: str | None = None
    baseline_save: bool = False
    fail_on: Gate = field(default_factory=lambda: Gate.parse("", None))
    expect: Expectations = field(default_factory=Expectations)
    variants: int | None = None  # how many a claim is tried on; None: such claims are not asked for
    variants_minutes: str = "--capbench-variants-minutes"  # as the user types it
    variants_seconds: float = 12 * 60
    variants_seed: int = 0
    replay: tuple[str, ...] = ()  # ids of variants to be tried instead
    task: TaskSpec | None = None  # the user's own, in place of the Counter's
    attacks: Attacks = "default"
    architectures: tuple[str, ...] = ()  # that PCFG claims are tried on; none: the study's own
    model: str | None = None  # path of the language model that claims about such are tried on
    tuned: str | None = None  # path of the same model after somebody's change
    capabilities: tuple[str, ...] = ()  # what it is asked; none: each suite's own
    data: str | None = None  # folder of the user's own stories
    pool: bool = False  # also bundle the base models of the calibration's pool
    retrain: bool = False  # no base model is taken from the package
    ray: cluster.RayCluster | None = None  # make models on this cluster
    log: tuple[str, tuple[str, ...]] = ("", ())  # the option as typed, and the loggers as given
    quiet: bool = False  # say what fails, but not how far the run is
    simulated: Simulated | None = None  # nothing is made, but planned on these machines

    @classmethod
    def of(
        cls,
        given: Given,
        *,
        command: str,
        workers: int = 1,
        spread: bool = False,
        registered: Mapping[str, str] | None = None,
        studies: Table | None = None,
    ) -> Options:
        """Check what was given. Raises UsageError, one line, before anything is computed.

        workers: pytest-xdist processes that share this machine's cores; spread: whether this one spreads tests over such.
        registered: method name -> spec, from plugins and conftests. studies: those that are known, by name.
        """
        found = given.checked()
        judged: tuple[str, Manifest] | None = found.get("checkpoints")
        specs = (f"{Checkpoints.prefix}{judged[0]}",) if judged else found.get("method") or ("full",)
        variants = _variants(found)
        models_at_once = at_once(given, found, workers=workers)
        return cls(
            scale=found["scale"],
            seeds=_seeds(given, found, judged[1] if judged else None),
            auto=found.get("seeds") == AUTO,
            methods=_methods(
                given,
                specs,
                arguments=found.get("method-arg") or (),
                registered=registered,
                depends=found.get("method-depends") or (),
            ),
            extended=bool(found.get("extended")),
            pool=bool(found.get("pool")),
            device=found["device"],
            at_once=models_at_once,
            cache=found.get("cache"),
            cache_shown=cache_shown(given),
            report=found.get("report"),
            command=command,
            precision=found.get("precision") or "float32",
            studies=studies or BUILT_IN,
            baseline=found.get("baseline"),
            baseline_save=bool(found.get("baseline-save")),
            fail_on=found.get("fail-on") or Gate.parse("", None),
            expect=found.get("expect") or Expectations(),
            variants=variants,
            variants_minutes=given.typed("variants-minutes") if "variants-minutes" in found else "",
            variants_seconds=found.get("variants-minutes") or 0.0,
            variants_seed=_hypothesis_seed(given) if variants else 0,
            replay=found.get("replay") or (),
            task=find_task(given.typed("task"), found["task"]) if found.get("task") else None,
            attacks=found.get("attacks") or "default",
            architectures=found.get("architecture") or (),
            model=found.get("model"),
            tuned=found.get("tuned"),
            capabilities=found.get("capability") or (),
            data=found.get("data"),
            retrain=bool(found.get("retrain")),
            ray=_ray(given, found, spread=spread),
            log=(given.typed("log"), found["log"]) if "log" in found else ("", ()),
            quiet=bool(found.get("quiet")),
            simulated=simulated(given, found, models_at_once),
        )

    @property
    def root(self) -> Path:
        """Where models are kept: apart from those that came with the package, and what was made of them, if none may."""
        root = default_root(self.cache)
        return beside(root, "retrained") if self.retrain else root

    @property
    def prepared(self) -> Path:
        """Where stories of the user's own are kept as tokens."""
        return beside(default_root(self.cache), "stories")


def find_method(
    given: Given,
    spec: str,
    *,
    arguments: Arguments = (),
    registered: Mapping[str, str] | None = None,
    depends: Collection[Path] = (),
) -> registry.MethodRef:
    """The method of this spec. Raises UsageError for an unknown name or form, MethodError if it cannot be used.

    arguments: for the method. registered: name -> spec, from plugins and conftests. depends: files that it reads.
    """
    try:
        return registry.find(spec, arguments=arguments, registered=registered or {}, depends=depends)
    except UsageError as error:
        raise UsageError(f"{given.typed('method')}={spec}: {_without(spec, str(error))}") from None


def _without(spec: str, words: str) -> str:
    """What is said of a method, where the option before it quotes its spec."""
    for lead, rest in (
        (f"unknown method {spec!r}", "unknown method"),
        (f"method name {spec!r} ", ""),
        (f"method {spec!r}", ""),
    ):
        if words.startswith(lead):
            return (rest + words.removeprefix(lead)).lstrip(": ")
    return words


def _methods(
    given: Given,
    specs: Iterable[str],
    *,
    arguments: Arguments,
    registered: Mapping[str, str] | None,
    depends: Collection[Path],
) -> dict[str, registry.MethodRef | MethodError]:
    """spec -> its method, or why it cannot be used: one bad file should not stop the others. Otherwise like `find_method`.

    Each method is there once, and no two have one name.
    """
    found: dict[str, registry.MethodRef | MethodError] = {}
    for spec in specs:
        try:
            found[spec] = find_method(given, spec, arguments=arguments, registered=registered, depends=depends)
        except MethodError as error:
            found[spec] = error
    return distinct(found)


def _seeds(given: Given, found: Mapping[str, Any], judged: Manifest | None) -> int:
    """How many each claim has: as given, else those of the folder that is judged, else the scale's."""
    auto = found.get("seeds") == AUTO
    asked: int | None = looks.SEEDS[0] if auto else found.get("seeds")
    if found.get("tuned"):
        if (asked or 1) > 1:
            raise UsageError(f"{given.shown('seeds')}: a finished model does not depend on the seed; omit this option")
        return 1
    if judged is None:
        return asked or SCALES[found["scale"]]
    folder = given.shown("checkpoints")
    if judged.scale != found["scale"]:
        raise UsageError(
            f"{folder}: exported at scale {judged.scale!r}, this run has {found['scale']!r}; "
            f"use {given.typed('scale')}={judged.scale}"
        )
    seeds = asked or len(judged.seeds)
    most = looks.SEEDS[-1] if auto else seeds
    if beyond := sorted(set(range(most)) - set(judged.seeds)):
        raise UsageError(
            f"{given.typed('seeds')}={given.text('seeds')}: {given.text('checkpoints')!r} was exported with "
            f"--seeds={len(judged.seeds)} (it has no seed {beyond[0]}); export with --seeds={most}"
        )
    return seeds


def _variants(found: Mapping[str, Any]) -> int | None:
    """The number of variants, if any are asked for."""
    asked = found.get("variants") or found.get("extended") or found.get("replay")
    if not asked or "variants" not in found or found.get("checkpoints"):
        return None
    return found["variants"] or VARIANTS


def _hypothesis_seed(given: Given) -> int:
    """Hypothesis' own option, for exploration; without it the same variants each time. Raises UsageError for no number."""
    seed = given.text("hypothesis-seed")
    try:
        return int(seed or 0)
    except ValueError:
        raise UsageError(f"--hypothesis-seed={seed}: must be a whole number for variants to be drawn") from None


def _ray(given: Given, found: Mapping[str, Any], *, spread: bool) -> cluster.RayCluster | None:
    """The cluster that models are made on, if one is asked for."""
    if found.get("executor") != "ray":
        return None
    if found["address"] is None and spread:
        raise UsageError(
            f"{given.shown('executor')} starts a cluster for one process: omit -n, or give {given.typed('address')}"
        )
    return cluster.RayCluster(
        address=found["address"], gpus_per_task=found["gpus-per-task"], option=given.typed("address")
    )
