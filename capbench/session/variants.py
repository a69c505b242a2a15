"""Claims on variants of their task: the variants of a run, their models, and the judges that test a claim on them."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.errors import MethodError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.priority_plan import PriorityPlan
from capbench.pipeline.steps import Step
from capbench.session.models import Models
from capbench.session.options.checked import VARIANTS
from capbench.session.studies import Studies
from capbench.studies.judge import Case, Claim
from capbench.variants.judging import VariantsJudge, seed_of
from capbench.variants.kept import Kept

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from capbench.variants.codec import AnyVariant
    from capbench.variants.drawing import Drawn

    OnVariants = Sequence[tuple[Claim, SearchStrategy[AnyVariant], str]]  # tests, with the method of each


class Variants:
    """Draws variants once per strategy, and makes their models in the order of the draw until the time is up.

    Once a model would not be finished in time, no further one is begun, not even when its claim is tested.
    """

    def __init__(self, studies: Studies, models: Models) -> None:
        self._studies, self._models, self._options = studies, models, studies.options
        self._drawn: dict[Any, tuple[Drawn, ...]] = {}  # by strategy
        self._end = math.inf
        self._left = frozenset[str]()  # keys of models for which there was no time

    @cached_property
    def replayed(self) -> tuple[AnyVariant, ...]:
        """The variants given with --capbench-replay. Raises UsageError for an unknown id."""
        reports = Path(self._options.report or "reports")
        return tuple(Kept(self._models.store.root).find(each, reports) for each in self._options.replay)

    def of(self, strategy: SearchStrategy[AnyVariant]) -> tuple[AnyVariant, ...]:
        """The variants to test claims on: replayed, or drawn from the strategy. Raises UsageError if it yields none."""
        return self.replayed or tuple(drawn.variant for drawn in self._draws(strategy))

    def _draws(self, strategy: SearchStrategy[AnyVariant]) -> tuple[Drawn, ...]:
        if strategy not in self._drawn:
            from capbench.variants.drawing import draw

            self._drawn[strategy] = draw(strategy, self._options.variants or VARIANTS, seed=self._options.variants_seed)
        return self._drawn[strategy]

    def prepare(self, tests: OnVariants, *, say: Callable[[str], None]) -> None:
        """Make the variants' models; the time for variants starts now. Reports how many variants are left out."""
        seconds = self._options.variants_seconds
        self._end = time.monotonic() + seconds
        if not (groups := self._in_turn(tests, if_lost=False)):
            return
        self._models.errors |= self._models.make(_plan(groups), say=say, deadline=self._end)
        needed = [Plan(steps).steps.keys() for variants in groups for steps in variants]
        self._left = frozenset(key for keys in needed for key in keys if self._is_missing(key))
        if left := sum(not self._left.isdisjoint(keys) for keys in needed):
            say(
                f"capbench: {seconds / 60:g} min were enough for {len(needed) - left} of {len(needed)} variants, in the order of "
                f"the draw; {left} left out ({self._options.variants_minutes} gives more time)"
            )

    def _is_missing(self, key: str) -> bool:
        """Whether a model is missing although it did not fail: the time was up."""
        return key not in self._models.errors and not self._models.store.has(key)

    def _made(self, steps: Iterable[Step], deadline: float) -> dict[str, str]:
        """Like `Models.made`, for one claim. A model that was left out stays out: it would be made out of turn."""
        plan = Plan(steps)
        if any(key in self._left and self._is_missing(key) for key in plan.steps):
            return {}
        return self._models.made(plan.steps.values(), deadline)

    def _make_in_turn(self, groups: Sequence[Iterable[Step]], deadline: float) -> None:
        """Make what is missing of each group, earlier groups first, in the run's processes; failures are kept."""
        self._models.errors |= self._models.make(PriorityPlan(groups), say=lambda _: None, deadline=deadline)

    def unmade(self, tests: OnVariants) -> list[Step]:
        """The missing models that did not fail: the time was up."""
        return [step for key, step in Plan(self.steps(tests, if_lost=False)).steps.items() if self._is_missing(key)]

    def plan(self, tests: OnVariants) -> PriorityPlan:
        """All models that the tests may need, in the order in which they are made."""
        return _plan(self._in_turn(tests, if_lost=True))

    def steps(self, tests: OnVariants, *, if_lost: bool) -> list[Step]:
        """The models that the tests need, for the variants that can be drawn. if_lost: also those of a lost behaviour."""
        return [step for variants in self._in_turn(tests, if_lost=if_lost) for steps in variants for step in steps]

    def _in_turn(self, tests: OnVariants, *, if_lost: bool) -> list[list[list[Step]]]:
        """[turn][variant][step]: the models of each test's first variant, then of each test's second one, and so on.

        The order of the draw does not depend on how long a model takes, so if time runs out, the variants tested are simply
        those drawn first.
        """
        found: dict[int, dict[str, list[Step]]] = {}
        for claim, strategy, method in tests:
            drawn: tuple[AnyVariant, ...] = ()
            with contextlib.suppress(UsageError):  # its test reports it
                drawn = self.of(strategy)
            for turn, variant in enumerate(drawn):
                with contextlib.suppress(Exception):  # its judge reports it
                    study = self._studies.of_variant(variant, claim, method)
                    seed, case = seed_of(variant), Case(**variant.case)
                    needed = claim.models(study, seed, case) if if_lost else claim.needs(study, seed, case.plain)
                    if not self._models.refused(needed.values()):
                        found.setdefault(turn, {}).setdefault(variant.id, []).extend(needed.values())
        return [list(variants.values()) for _, variants in sorted(found.items())]

    def judge(self, claim: Claim, strategy: SearchStrategy[AnyVariant], method: str, *, nodeid: str) -> VariantsJudge:
        """The judge of one test on variants."""
        error = self._studies.method(method) if method else None
        return VariantsJudge(
            claim=claim,
            strategy=strategy,
            variants=self.of(strategy),
            drawn=() if self._options.replay else self._draws(strategy),
            nodeid=nodeid,
            method=self._studies.name(method),
            scale=self._studies.scale,
            study=lambda variant: self._studies.of_variant(variant, claim, method),
            lab=self._models.lab,
            make=self._made,
            make_in_turn=self._make_in_turn,
            deadline=self._end,
            blocked=str(error) if isinstance(error, MethodError) else "",
        )


def _plan(groups: list[list[list[Step]]]) -> PriorityPlan:
    """groups: [turn][variant][step]."""
    return PriorityPlan(itertools.chain(*variants) for variants in groups)
