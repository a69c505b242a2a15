"""Carrying out a step: training or tuning a model, and packing it as tensors and metadata. Imports torch."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch

from capbench import training
from capbench.errors import CapbenchError, MethodError
from capbench.measure.accuracy import accuracy, sample
from capbench.methods import registry
from capbench.methods.base import FineTuneMethod
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.pipeline.steps import FineTune, Initialise, Pretrain, Revive, Step, Watch
from capbench.store import Store

Progress = Callable[[int], object]  # called with the number of training steps done since the last call


def build(step: Step, store: Store, progress: Progress = lambda _: None) -> None:
    """Make the step's artefact unless it is there; its parents must be there. Safe between processes."""
    store.get_or_build(
        step.key, lambda: _carry_out(step, store, progress), kind=type(step).__name__, config=step.config
    )


def load_model(step: Step, store: Store) -> Model:
    """The model that a step made, in evaluation mode. Raises CapbenchError if its artefact is missing."""
    artefact = store.load(step.key)
    if artefact is None:
        raise CapbenchError(f"no artefact of '{step.label}' in {store.root}")
    model = Gpt(_architecture(step))
    model.load_state_dict(dict(artefact.tensors))
    return model.eval()


def _architecture(step: Step) -> Any:
    while not isinstance(step, Initialise):
        (step,) = step.parents
    return step.model


def _carry_out(step: Step, store: Store, progress: Progress) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    started = time.perf_counter()
    match step:
        case Initialise():
            model: Model = Gpt.initialised(step.model, torch.Generator().manual_seed(step.seed))
            meta: dict[str, Any] = {}
        case Pretrain():
            model = load_model(step.start, store)
            with training.observing(curves := _Curves(step.watch, step.watch_every, progress)):
                fitted = training.fit(model, step.task, step.train)
            meta = {**_fit_meta(fitted, step.train.steps), "curves": curves.as_json()}
        case FineTune():
            base = load_model(step.base, store)
            with training.observing(curves := _Curves(step.watch, step.watch_every, progress)):
                curves.evaluate(0, base)
                model = _apply(step, base)
            meta = {"steps": curves.steps, "diverged": not _finite(model), "curves": curves.as_json()}
        case Revive():
            model = load_model(step.start, store)
            curves = _Curves((step.watch,), step.watch_every, progress, goal=step.goal)
            curves.evaluate(0, model)
            with training.observing(curves):
                fitted = training.fit(model, step.task, step.train)
            meta = {**_fit_meta(fitted, step.train.steps), "curves": curves.as_json()}
            return {}, {**meta, "seconds": time.perf_counter() - started}
        case _:
            raise TypeError(f"no way to build a {type(step).__name__}")
    return model.state_dict(), {**meta, "seconds": time.perf_counter() - started}


def _fit_meta(fitted: training.Fit, planned: int) -> dict[str, Any]:
    every = max(1, planned // 100)
    losses = [v if i % every == 0 else None for i, v in enumerate(fitted.losses)]
    return {
        "steps": fitted.steps,
        "diverged": fitted.diverged,
        "loss": [[i + 1, v] for i, v in enumerate(losses) if v is not None and v == v and abs(v) != float("inf")],
    }


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
        raise MethodError(f"method {name!r} failed: {registry.one_line(error)}") from error
    if not isinstance(tuned, Model):
        raise MethodError(f"method {name!r} returned {_kind(tuned)}; it must return the fine-tuned Model")
    expected, found = base.state_dict(), tuned.state_dict()
    for key in sorted(expected.keys() | found.keys()):
        if key not in found or key not in expected:
            where = "lacks" if key not in found else "adds"
            raise MethodError(
                f"method {name!r} returned a model of another shape: it {where} {key!r}; merge adapters before returning"
            )
        if expected[key].shape != found[key].shape:
            raise MethodError(
                f"method {name!r} returned a model of another shape: {key!r} is {tuple(found[key].shape)}, "
                f"the base model has {tuple(expected[key].shape)}"
            )
    return tuned.eval()


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


class _Curves:
    """Evaluates the watched tasks every few steps of a training and records the accuracies."""

    def __init__(self, watch: tuple[Watch, ...], every: int, progress: Progress, *, goal: float | None = None) -> None:
        self._tasks = [(w.name, w.task, sample(w.task, w.n, w.seed)) for w in watch]
        self._every, self._progress, self._goal = every, progress, goal
        self._points: dict[str, list[list[float]]] = {w.name: [] for w in watch}
        self.steps = 0

    def __call__(self, step: int, model: Model) -> bool:
        self.steps += 1
        self._progress(1)
        return step % self._every == 0 and self.evaluate(step, model)

    def evaluate(self, step: int, model: Model) -> bool:
        """Record one point of every curve; True when the goal is reached on all of them."""
        for name, task, batch in self._tasks:
            self._points[name].append([step, accuracy(model, task, batch)])
        return self._goal is not None and all(points[-1][1] >= self._goal for points in self._points.values())

    def as_json(self) -> dict[str, list[list[float]]]:
        return self._points
