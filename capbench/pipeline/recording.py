"""What is recorded while a model trains: accuracies of watched tasks, losses and gradient norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from capbench.errors import NoAnswerError
from capbench.measure.accuracy import accuracy, sample
from capbench.models.base import Model
from capbench.pipeline.budget import Budget
from capbench.pipeline.steps import Watch
from capbench.training.loop import Fit

Progress = Callable[[int], object]  # called with the number of training steps done since the last call


class Curves:
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
        """Record one point of every curve; True when the goal is reached on all of them.

        A model that answers NaN has no accuracy: its point is missing.
        """
        reached = self._goal is not None
        with self._budget.paused():
            for name, task, batch in self._tasks:
                try:
                    found = accuracy(model, task, batch)
                except NoAnswerError:
                    reached = False
                    continue
                self._points[name].append([step, found])
                reached = reached and self._goal is not None and found >= self._goal
        return reached

    def as_json(self) -> dict[str, list[list[float]]]:
        """The curves by name: points of (training step, accuracy 0..1)."""
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


def fit_meta(fits: list[Fit]) -> dict[str, Any]:
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
