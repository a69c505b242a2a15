"""The models that a run's tests need, and how they are made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.session.loggers.base import Loggers
from capbench.session.making import make
from capbench.session.options.at_once import AtOnce
from capbench.session.options.cache import opened
from capbench.session.refusals import Refusals
from capbench.session.studies import Studies, each
from capbench.store.store import Store
from capbench.studies.judge import Case, Claim, Judge
from capbench.studies.lab import Lab
from capbench.zoo.bundle import shelf

Test = tuple[Claim, Case | None, str]  # with its method
Tests = Sequence[Test]


class Models:
    """errors: step key -> why the step failed, for the tests that need it. seconds: spent on making models.

    loggers: are told the curves of what is made. at_once: how many trainings there are at a time.
    """

    def __init__(self, studies: Studies) -> None:
        self.studies, self.options = studies, studies.options
        self.errors: dict[str, str] = {}
        self.seconds = 0.0
        self.loggers = Loggers()
        self.at_once = self.options.at_once

    @cached_property
    def store(self) -> Store:
        return opened(self.options.root, self.options.cache_shown)

    @cached_property
    def lab(self) -> Lab:
        return Lab(self.store) if self.options.retrain else Lab(self.store, bundled=shelf())

    @cached_property
    def _refusals(self) -> Refusals:
        return Refusals()

    def prepare(self, tests: Tests, *, say: Callable[[str], None], if_lost: bool = False) -> None:
        """Make the models that the tests need; failures are kept in `errors`. if_lost: see `steps`."""
        steps, _ = self.steps(tests, if_lost=if_lost)
        began = time.monotonic()
        self.errors |= self.make(Plan(steps), say=say)
        self.seconds += time.monotonic() - began

    def took(self, judges: Iterable[Judge]) -> float:
        """Seconds that the models of these judges took when they were made, whenever that was; on this machine or another."""
        steps = {step.key: step for judge in judges for by_name in judge.steps.values() for step in by_name.values()}
        metas = [self.store.meta(key) for key in steps if self.store.has(key)]
        return sum(float(meta.get("seconds", 0.0)) for meta in metas if meta is not None)

    def steps(
        self, tests: Iterable[Test], seeds: Iterable[int] = (), *, if_lost: bool = False
    ) -> tuple[list[Step], list[str]]:
        """The models that the tests need, and one line for each reason why those of a test cannot be made, or be determined.

        seeds: if none are given, those of every claim. if_lost: also those that a test needs only where a behaviour is lost. What
        a method refuses is kept in `errors`, and nothing else that only its tests need is among the models.
        """
        always, more, blocked = self.in_two(tests, seeds, if_lost=if_lost)
        return [*always, *more], blocked

    def in_two(
        self, tests: Iterable[Test], seeds: Iterable[int] = (), *, if_lost: bool = True
    ) -> tuple[list[Step], list[Step], list[str]]:
        """As `steps`: what is needed in any case, what is needed where a behaviour is lost, and the reasons."""
        always: list[Step] = []
        more: list[Step] = []
        blocked: dict[str, None] = {}
        for claim, case, method in tests:
            needed = self.studies.needed(claim, case or Case(), method, seeds)
            blocked |= {needed.blocked: None} if needed.blocked else {}
            parts = [(always, needed.always), (more, needed.if_lost)]
            for steps, by_seed in parts if if_lost else parts[:1]:
                if refused := self.refused(each(by_seed)):
                    blocked |= dict.fromkeys(refused.values())
                    break
                steps += each(by_seed)
        return always, more, list(blocked)

    def refused(self, steps: Iterable[Step]) -> dict[str, str]:
        """Those missing models whose method would refuse its base model: step key -> why. They are kept in `errors`."""
        found = self._refusals.of(step for step in steps if not self.store.has(step.key))
        self.errors |= found
        return found

    def make(self, plan: Plan, *, say: Callable[[str], None], deadline: float = math.inf) -> dict[str, str]:
        """Make a plan's missing models. Returns step key -> why, for each that failed. See session.making."""
        o = self.options
        return make(
            plan,
            self.store,
            at_once=self.at_once,
            say=say,
            deadline=deadline,
            bundled=not o.retrain,
            ray=o.ray,
            quiet=o.quiet,
            loggers=self.loggers,
        )

    def made(self, steps: Iterable[Step], deadline: float) -> dict[str, str]:
        """Like `make`, in this process and without output. Steps that failed before are not tried again."""
        plan = Plan(steps)
        known = {key: self.errors[key] for key in plan.steps if key in self.errors}
        if not known:
            bundled = not self.options.retrain  # not on a cluster, which is slower for a few steps
            known = make(
                plan,
                self.store,
                at_once=AtOnce(),
                say=lambda _: None,
                deadline=deadline,
                bundled=bundled,
                quiet=self.options.quiet,
            )
            self.errors |= known
        return known
