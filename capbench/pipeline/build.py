"""Carrying out a step: training or tuning a model, and packing it as tensors and metadata. Imports torch."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from capbench.errors import CapbenchError, MethodError
from capbench.measure.accuracy import accuracy, sample
from capbench.methods.base import FineTuneMethod
from capbench.methods.opened import recording
from capbench.methods.returned import checked as as_expected
from capbench.methods.specs import registry
from capbench.methods.specs.user_code import one_line
from capbench.models.base import Model
from capbench.pipeline.budget import Budget, counting
from capbench.pipeline.snapshots import Snapshots
from capbench.pipeline.steps import Compile, Edit, FineTune, Initialise, Perturb, Pretrain, Revive, Step, Watch
from capbench.store.store import Store
from capbench.training.loop import Fit, fit, keeping, observing

Progress = Callable[[int], object]  # called with the number of training steps done since the last call


def build(step: Step, store: Store, progress: Progress = lambda _: None) -> None:
    """Make the step's artefact unless it is there; its parents must be there. Safe between processes.

    A training that was interrupted goes on from where its state was kept last.
    """

    def carry_out() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        tensors, meta = _carry_out(step, store, progress)
        return tensors, {**meta, "torch": str(torch.__version__)}

    store.get_or_build(step.key, carry_out, kind=type(step).__name__, config=step.config)
    Snapshots(store.root, step.key).remove()


def load_model(step: Step, store: Store) -> Model:
    """The model that a step made, in evaluation mode. Raises CapbenchError if its artefact is missing."""
    artefact = store.load(step.key)
    if artefact is None:
        raise CapbenchError(f"no artefact of '{step.label}' in {store.root}")
    origin, added = step, 0
    while not isinstance(origin, (Initialise, Compile)):
        added += origin.adds_blocks if isinstance(origin, Edit) else 0
        (origin,) = origin.parents
    # By name, so that the version of a model's code does not hang on architectures that it has nothing to do with.
    architecture: Any = _named(origin.architecture)
    if isinstance(origin, Initialise):
        config: Any = origin.model
    else:
        meta = store.meta(origin.key)
        if meta is None:
            raise CapbenchError(f"no artefact of '{origin.label}' in {store.root}")
        config = _named("capbench.models.tracr:TracrConfig").from_json(meta["config"])
    model: Model = architecture(replace(config, n_blocks=config.n_blocks + added))
    model.load_state_dict(dict(artefact.tensors))
    return model.eval()


def _carry_out(step: Step, store: Store, progress: Progress) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    snapshots = Snapshots(store.root, step.key)
    match step:
        case Initialise():
            architecture = _named(step.architecture)
            model: Model = architecture.initialised(step.model, torch.Generator().manual_seed(step.seed))
            meta: dict[str, Any] = {}
        case Compile():
            model = _compile(step)
            config: Any = model.config  # the program's name is that of its last expression; the step knows better
            meta = {"config": {**config.to_json(), "program": step.name}}
        case Perturb():
            model = load_model(step.start, store)
            rng = torch.Generator().manual_seed(step.seed)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=step.scale)
            meta = {}
        case Edit():
            edit = _named(step.edit)
            rng = torch.Generator().manual_seed(step.seed)
            task = {} if step.task is None else {"task": step.task}
            model, meta = edit(load_model(step.start, store), rng=rng, **task, **step.arguments), {}
        case Pretrain():
            model = load_model(step.start, store)
            curves = _Curves(step.watch, step.watch_every, progress)
            with observing(curves) as fits, keeping(snapshots.of(curves)):
                fit(model, step.task, step.train)
            meta = {**_fit_meta(fits), "curves": curves.as_json()}
        case FineTune():
            base = load_model(step.base, store)
            with counting() as budget, recording() as opened:
                curves = _Curves(step.watch, step.watch_every, progress, budget=budget)
                with observing(curves) as fits, keeping(snapshots.of(curves)):
                    curves.evaluate(0, base)
                    model = _apply(step, base)
            found = _fit_meta(fits)
            diverged = found["diverged"] or not _finite(model)
            meta = {**found, "diverged": diverged, "curves": curves.as_json(), "budget": budget.as_json()}
            meta["steps"] = budget.steps
            meta |= opened.told(registry.files(step.method), own=(store.root,))
        case Revive():
            model = load_model(step.start, store)
            curves = _Curves((step.watch,), step.watch_every, progress, goal=step.goal)
            curves.evaluate(0, model)
            with observing(curves) as fits, keeping(snapshots.of(curves)):
                fit(model, step.task, step.train)
            meta = {**_fit_meta(fits), "curves": curves.as_json()}
            return {}, {**meta, **snapshots.spent()}
        case _:
            raise TypeError(f"no way to build a {type(step).__name__}")
    return model.state_dict(), {**meta, **snapshots.spent()}


def _compile(step: Compile) -> Model:
    program = _named(step.program)(*step.arguments)
    compiled: Model = _named(f"{step.architecture.partition(':')[0]}:compile_rasp")(
        program,
        vocab=set(step.vocabulary),
        max_seq_len=step.max_seq_len,
        compiler_bos=step.bos,
        compiler_pad=step.pad,
    )
    return compiled


def _named(path: str) -> Any:
    """The code that `module:attribute` names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _fit_meta(fits: list[Fit]) -> dict[str, Any]:
    """What the training loop saw, thinned to about 100 points; nothing for methods with a loop of their own.

    grad_norm: per point the largest norm (before clipping) since the point before, so that no spike is lost.
    """
    losses = [loss for fitted in fits for loss in fitted.losses]
    norms = [norm for fitted in fits for norm in fitted.grad_norms]
    every = max(1, len(losses) // 100)
    ends = [*range(every, len(losses), every), len(losses)] if losses else []
    starts = [0, *ends]
    return {
        "steps": sum(fitted.steps for fitted in fits),
        "diverged": any(fitted.diverged for fitted in fits),
        "loss": _finite_points((end, losses[end - 1]) for end in ends),
        "grad_norm": _finite_points((end, max(norms[start:end])) for start, end in zip(starts, ends, strict=False)),
    }


def _finite_points(points: Iterable[tuple[int, float]]) -> list[list[float]]:
    return [[n, value] for n, value in points if math.isfinite(value)]


def _finite(model: Model) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in model.state_dict().values())


def _apply(step: FineTune, base: Model) -> Model:
    """Run the user's method and check what comes back, before anything is measured on it."""
    method: FineTuneMethod = registry.load(step.method)
    name = step.method.name
    try:
        tuned: Any = method(copy.deepcopy(base), step.task, step.train)
    except MethodError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"method {name!r} failed: {one_line(error)}") from error
    return as_expected(tuned, base, name, device=step.train.device).eval()


class _Curves:
    """Evaluates the watched tasks every few steps of a training and records the accuracies."""

    def __init__(
        self,
        watch: tuple[Watch, ...],
        every: int,
        progress: Progress,
        *,
        goal: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._tasks = [(w.name, w.task, sample(w.task, w.n, w.seed)) for w in watch]
        self._every, self._progress, self._goal, self._budget = every, progress, goal, budget or Budget()
        self._points: dict[str, list[list[float]]] = {w.name: [] for w in watch}
        self._last = self._before = 0

    def __call__(self, step: int, model: Model) -> bool:
        self._progress(1)
        if step <= self._last:  # a method of several trainings counts from 1 in each of them
            self._before += self._last
        self._last = step
        return step % self._every == 0 and self.evaluate(self._before + step, model)

    def evaluate(self, step: int, model: Model) -> bool:
        """Record one point of every curve; True when the goal is reached on all of them."""
        with self._budget.paused():
            for name, task, batch in self._tasks:
                self._points[name].append([step, accuracy(model, task, batch)])
        return self._goal is not None and all(points[-1][1] >= self._goal for points in self._points.values())

    def as_json(self) -> dict[str, list[list[float]]]:
        return self._points

    def state(self) -> dict[str, Any]:
        """All that changed since the beginning, as JSON values, with what the method cost so far."""
        steps = {"last": self._last, "before": self._before}
        return {"points": self._points, "steps": steps, "budget": self._budget.as_json()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self._points = {name: [list(point) for point in state["points"][name]] for name in self._points}
        self._last, self._before = state["steps"]["last"], state["steps"]["before"]
        self._budget.restore(state["budget"])
