"""The curves of a plan's models, told as they grow: a finished model's whole, a running one's as far as its snapshots go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from capbench.pipeline.plan import Plan
from capbench.pipeline.snapshots import curves_kept
from capbench.pipeline.steps import Step
from capbench.session.loggers.base import Loggers
from capbench.store.store import Store

EVERY = 10.0  # seconds between two looks; running trainings keep a snapshot every 20
FITTED = ("loss", "grad_norm")  # curves that a finished model has beside its accuracies


class Following:
    """Looks at the models of a plan, in whatever process they are made."""

    def __init__(self, plan: Plan, store: Store, loggers: Loggers, *, say: Callable[[str], object]) -> None:
        self._store, self._loggers, self._say = store, loggers, say
        self._waiting = dict(plan.steps) if loggers else {}
        self._told: dict[tuple[str, str], int] = {}  # step key and name of the curve -> points that were told
        self._last = -EVERY

    def now_and_then(self) -> None:
        """Look, unless that was done a moment ago."""
        if self._waiting and time.monotonic() - self._last >= EVERY:
            self.look()

    def look(self) -> None:
        """Tell every point that is new."""
        self._last = time.monotonic()
        for key, step in list(self._waiting.items()):
            meta = self._store.meta(key) if self._store.has(key) else None
            if meta is None:
                self._tell(step, curves_kept(self._store.root, key))
                continue
            self._tell(step, {**meta.get("curves", {}), **{name: meta.get(name, []) for name in FITTED}})
            del self._waiting[key]

    def _tell(self, step: Step, curves: Mapping[str, Sequence[Any]]) -> None:
        for name, points in curves.items():
            before = self._told.get((step.key, name), 0)
            if len(points) > before:
                self._told[step.key, name] = len(points)
                with suppress(TypeError, ValueError):  # not written by this version
                    new = [(int(at), float(value)) for at, value in points[before:]]
                    self._loggers.curve(model_name(step), name, new, say=self._say)


def model_name(step: Step) -> str:
    """As in `fine-tune pcfg counter at lr 0.0002 by full (3f2a91bc)`: what was done, and the start of the model's key."""
    return f"{step.label} ({step.key[:8]})"
