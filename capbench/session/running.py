"""What pytest and the `capbench` command share: checks of options, making missing models with a bar, a run's facts."""

from __future__ import annotations

import math
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from capbench import __version__
from capbench.configs import PRECISIONS, Precision
from capbench.errors import MethodError, UsageError
from capbench.expectations.files import Expectations, read
from capbench.methods.specs import registry
from capbench.methods.specs.arguments import Arguments
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.costs import Costs
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.results import RunInfo
from capbench.store.store import DamagedArtefact, Store
from capbench.studies.scales import SCALES
from capbench.zoo import bundle

_STACK = 16  # models in one pass on a GPU


def check_scale(option: str, scale: str) -> None:
    """Raises UsageError unless there is such a scale."""
    if scale not in SCALES:
        raise UsageError(f"{option}={scale}: unknown scale; known: {', '.join(SCALES)}")


def check_device(option: str, device: str) -> None:
    """Raises UsageError unless this machine has such a device."""
    if device not in ("cpu", "cuda"):
        raise UsageError(f"{option}={device}: unknown device; known: cpu, cuda")
    if device == "cuda" and not _has_cuda():
        raise UsageError(f"{option}=cuda: this machine, or this build of torch, has no CUDA; use cpu")


def precision(option: str, given: str) -> Precision:
    """The precision of this name. Raises UsageError for an unknown one."""
    for known in PRECISIONS:
        if given == known:
            return known
    raise UsageError(f"{option}={given}: unknown precision; known: {', '.join(PRECISIONS)}")


def find_method(
    option: str, spec: str, *, arguments: Arguments = (), registered: Mapping[str, str] | None = None
) -> registry.MethodRef:
    """The method of this spec. Raises UsageError for an unknown name or form, MethodError if it cannot be used.

    arguments: for the method. registered: name -> spec, from plugins and conftests.
    """
    try:
        return registry.find(spec, arguments=arguments, registered=registered or {})
    except UsageError as error:
        raise UsageError(f"{option}={spec}: {error}") from None


def find_methods(
    option: str, specs: Iterable[str], *, arguments: Arguments = (), registered: Mapping[str, str] | None = None
) -> dict[str, registry.MethodRef | MethodError]:
    """spec -> its method, or why it cannot be used: one bad file should not stop the others. Otherwise like `find_method`."""
    found: dict[str, registry.MethodRef | MethodError] = {}
    for spec in specs:
        try:
            found[spec] = find_method(option, spec, arguments=arguments, registered=registered)
        except MethodError as error:
            found[spec] = error
    return found


def expectations(option: str, name: str) -> Expectations:
    """What is expected of a run, by this name or from this file. Raises UsageError for one that cannot be used."""
    try:
        return read(name)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None


def count(option: str, given: str | None, default: int) -> int:
    """A whole number of at least 1; UsageError if it is none."""
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal()) or int(given) < 1:
        raise UsageError(f"{option}={given}: must be a whole number of at least 1")
    return int(given)


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """Trainings at a time: so many processes, one core each; or so many models, if they are alike, in one pass here."""

    jobs: int = 1
    stack: int = 1


def at_once(prefix: str, jobs: str | None, stack: str | None, *, device: str, cores: int, ray: bool = False) -> AtOnce:
    """By default a process for every core; a GPU, which one model leaves idle, is filled by a stack in one process.

    prefix: of the options' names. Raises UsageError for numbers that are none, or that do not go together.
    """
    if ray and stack is not None:
        raise UsageError(f"{prefix}stack={stack}: on a Ray cluster models train one by one; leave it away")
    models = count(f"{prefix}stack", stack, _STACK if device == "cuda" and not ray else 1)
    here = not ray and (models > 1 or device == "cuda")
    processes = count(f"{prefix}jobs", jobs, 1 if here else cores)
    if here and processes > 1 and device == "cuda":
        raise UsageError(
            f"{prefix}jobs={processes}: on cuda one process trains; leave it away and say {prefix}stack=N for N models in one "
            f"pass (now {models})"
        )
    if here and processes > 1:
        raise UsageError(f"{prefix}stack={models} trains in one process: leave {prefix}jobs={processes} away")
    return AtOnce(jobs=processes, stack=models)


def minutes(option: str, given: str | None) -> float:
    """A time in seconds, given in minutes; infinite without any. UsageError if it is no number above 0."""
    if given is None:
        return math.inf
    with suppress(ValueError):
        if 0 < (number := float(given)) < math.inf:
            return 60 * number
    raise UsageError(f"{option}={given}: must be a number of minutes above 0, as in 10 or 0.5")


def make(
    plan: Plan,
    store: Store,
    *,
    at_once: AtOnce,
    say: Callable[[str], None],
    deadline: float = math.inf,
    bundled: bool = True,
    ray: RayCluster | None = None,
) -> dict[str, str]:
    """Make what is missing of a plan, saying how much it is; step key -> one line, for what could not be made.

    What there was no time for before the deadline (in time.monotonic()'s seconds) is still missing then.
    bundled: base models that come with the package are taken from there. ray: the cluster that makes the others.
    Raises UsageError for a cluster that cannot be used.
    """
    jobs, stack = at_once.jobs, at_once.stack
    limit_threads()
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always", DamagedArtefact)
        missing = plan.missing(store)
    for warning in damaged:
        say(f"capbench: warning: {warning.message}")
    if bundled and missing:
        filled = bundle.fill(store, missing)
        for words in filled.warnings:
            say(f"capbench: warning: {words}")
        if n := len(filled.taken):
            say(f"capbench: {n} base model{'s' * (n > 1)} taken from the package")
        missing = [step for step in missing if step.key not in filled.taken]
    if not missing:
        return {}
    costs = Costs(plan, store, missing, stack=stack)
    steps = f"{costs.steps} training steps"
    if kept := sum(costs.kept.values()):
        steps += f"; {kept} more are kept from an interrupted run"
    about = f": {words}" if (words := costs.about(jobs)) else ""
    how = f"up to {stack} in one pass{about}" if stack > 1 else f"{jobs} at a time{about}"
    if ray is not None:
        how = f"on {ray}" if ray.address else f"on {ray}, {how}"
    say(f"capbench: {len(missing)} of {len(plan.steps)} models to make ({steps}), {how}")
    began = time.monotonic()
    with bar(costs.steps) as progress:
        errors = plan.run(store, jobs=jobs, stack=stack, progress=progress, deadline=deadline, ray=ray)
    took = f"made in {time.monotonic() - began:.0f} s"
    left = [step for step in missing if step.key not in errors and not store.has(step.key)]
    if left:
        say(f"capbench: {len(missing) - len(errors) - len(left)} models {took}; no time for {len(left)} more")
    else:
        say(f"capbench: models {took}")
    return errors


@contextmanager
def bar(total: int, unit: str = "step") -> Iterator[Callable[[int], object]]:
    """A progress bar with the time left, on a terminal; silence elsewhere."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True) as progress:
        yield progress.update


def run_info(
    *,
    run_id: str,
    device: str,
    jobs: int,
    scale: str,
    seeds: tuple[int, ...],
    methods: tuple[str, ...],
    command: str,
    started: float,
    task: Mapping[str, Any] | None = None,
) -> RunInfo:
    """The facts about a run that began at `started` (seconds since 1970) and ends now. task: as in RunInfo."""
    return RunInfo(
        run_id=run_id,
        capbench=__version__,
        git_commit=_git_commit(),
        python=platform.python_version(),
        torch=metadata.version("torch"),
        device=device,
        threads=jobs,
        scale=scale,
        seeds=seeds,
        methods=methods,
        command=command,
        start=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 1),
        task=task,
    )


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _git_commit() -> str | None:
    """The commit of the working directory, if it is a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
