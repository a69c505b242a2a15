"""How a claim on variants is decided: judge it on each, count, and look for the simplest variant on which it fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from capbench.errors import CapbenchError
from capbench.methods.specs.user_code import one_line
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.results import Record, Status, Trial, Verdict
from capbench.store.store import beside
from capbench.studies.base import Study
from capbench.studies.deletion.conditions import Conditions
from capbench.studies.judge import Case, Claim, InvalidClaimError, Judge, no_models
from capbench.studies.lab import Lab
from capbench.studies.losing import loses
from capbench.studies.seeds import subseed
from capbench.variants.codec import AnyVariant, plain
from capbench.variants.kept import Kept
from capbench.verdicts import claims, statistics

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from capbench.variants.drawing import Drawn

SEED = 0  # what the models' seeds are derived from: the sample is of variants, not of seeds
EARLIER = "a variant of an earlier run"
_NO_TIME = "no time was left to train its models"
LEAST_VALID = 0.5  # share of the variants on which a claim must have been put to the test


@dataclass(kw_only=True)
class VariantsJudge:
    """Given to a test: `decide` once. study: of a variant. make: makes models until a time, tells why what could not be made.

    make_in_turn: the same, of several variants one after the other. deadline: in time.monotonic()'s seconds; no training begins
    after it.
    """

    claim: Claim
    strategy: SearchStrategy[AnyVariant]
    variants: Sequence[AnyVariant]
    drawn: Sequence[Drawn] = ()  # the same with the seeds that they were drawn with; none where they are replayed
    nodeid: str
    method: str
    scale: str
    study: Callable[[AnyVariant], Study]
    lab: Lab
    make: Callable[[Iterable[Step], float], Mapping[str, str]]
    make_in_turn: Callable[[Sequence[Iterable[Step]], float], None]
    deadline: float
    blocked: str = ""  # why nothing can be tried at all: the method is not there
    verdict: Verdict | None = None
    _trials: dict[str, Trial] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _started: float = field(default_factory=time.perf_counter)

    def decide(self, claim: Callable[[Judge], None], *, share: float) -> None:
        """The claim that `claim` holds on at least this share of the variants on which it can be put to the test.

        The interval is Wilson's for a share, 95 %. Where it is refuted on a variant, a simpler one is looked for.
        """
        if self.blocked:
            raise InvalidClaimError(self.blocked)
        kept = Kept(self.lab.store.root)
        self._make_where_lost(claim)
        for variant in self.variants:
            kept.keep(variant)
            self._trials[variant.id] = self._tried(variant, claim)
        refuted = [t for t in self._trials.values() if t.status is Status.REFUTED]
        drawn = Counter(t.status for t in self._trials.values())
        self.verdict = share_of(drawn, share)
        first = next((d for d in self.drawn if refuted and d.variant.id == refuted[0].id), None)
        if first is not None and not self._shrink(claim, first, kept):
            cut = "time ran out in the search for the simplest refuted variant"
            self.verdict = replace(self.verdict, reason="; ".join(filter(None, (self.verdict.reason, cut))))
        if self.verdict.status is Status.INVALID and self._trials:
            reasons = Counter(t.reason for t in self._trials.values() if t.status is Status.INVALID)
            self.verdict = replace(
                self.verdict, reason=f"{self.verdict.reason}; most often: {reasons.most_common(1)[0][0]}"
            )

    def _tried(self, variant: AnyVariant, claim: Callable[[Judge], None], shrunk_from: str = "") -> Trial:
        verdict = self._judged(variant, claim)
        return Trial(
            id=variant.id,
            words=variant.words,
            variant=plain(variant),
            status=verdict.status,
            effect=verdict.effect,
            margin=verdict.margin,
            reason=verdict.reason if verdict.effect is None else claims.words(verdict),
            shrunk_from=shrunk_from,
        )

    def _make_where_lost(self, claim: Callable[[Judge], None]) -> None:
        """Make the models that are there for a lost behaviour of those variants that lost one, all together."""
        if self.claim.needs_where_lost is no_models:
            return
        more: list[Iterable[Step]] = []
        for variant in self.variants:
            judge = self._judge(variant)
            if isinstance(judge, Judge) and not judge.blocked and loses(judge, claim):
                more.append(judge.models.values())
        self.make_in_turn(more, self.deadline)

    def _judge(self, variant: AnyVariant) -> Judge | Verdict:
        """With the models that are needed in any case; or why there is none."""
        study, case, seed = self.study(variant), Case(**variant.case), seed_of(variant)
        try:
            steps, every = self.claim.needs(study, seed, case.plain), self.claim.models(study, seed, case)
        except CapbenchError as error:
            return claims.invalid(str(error))
        except Exception as error:  # a learning rate that the scale does not have, for instance
            return claims.invalid(f"its models cannot be determined: {one_line(error)}")
        return Judge(
            claim=self.claim,
            case=case,
            nodeid=self.nodeid,
            method=self.method,
            study=study,
            lab=self.lab,
            steps={seed: steps},
            if_lost={} if every == steps else {seed: every},
            make=lambda more: self._missing(more[seed].values()),
            blocked=self._missing(steps.values()),
        )

    def _missing(self, steps: Iterable[Step]) -> str:
        """Makes models; why some are not there, if so."""
        needed = Plan(steps).steps
        errors = self.make(needed.values(), self.deadline)
        blocked = next((errors[key] for key in needed if key in errors), "")
        return blocked or ("" if all(map(self.lab.store.has, needed)) else _NO_TIME)

    def _judged(self, variant: AnyVariant, claim: Callable[[Judge], None]) -> Verdict:
        judge = self._judge(variant)
        if isinstance(judge, Verdict):
            return judge
        try:
            claim(judge)
        except InvalidClaimError as reason:
            return claims.invalid(str(reason))
        except CapbenchError as error:
            return claims.invalid(str(error))
        finally:
            used = judge.steps[seed_of(variant)]
            self._keys |= {f"{variant.id}/{name}": step.key for name, step in used.items()}
        return judge.verdict or claims.invalid("the claim was not decided")

    def _shrink(self, claim: Callable[[Judge], None], first: Drawn, kept: Kept) -> bool:
        """Look for a simpler one than `first`; whether there was time to try all that Hypothesis wanted to."""
        from capbench.variants.drawing import simplest

        seen: dict[str, Trial] = {}
        start = (
            EARLIER  # Hypothesis first tries what an earlier run ended with, and goes on from there if it still fails
        )

        def fails(variant: AnyVariant) -> bool:
            nonlocal start
            if variant.id not in seen:
                seen[variant.id] = self._trials.get(variant.id) or self._tried(variant, claim, start)
            failed = seen[variant.id].status is Status.REFUTED
            if failed and start == EARLIER:
                start = variant.id
            return failed

        found = simplest(
            self.strategy,
            fails,
            first,
            examples=beside(self.lab.store.root, "examples"),
            name=f"{self.claim.id} {self.method} {self.scale}",
        )
        if found is not None:
            kept.keep(found)
            self._trials[found.id] = replace(seen[found.id], simplest=True)
        return all(trial.reason != _NO_TIME for trial in seen.values())

    def record(self) -> Record:
        """Everything about this test."""
        return Record(
            claim=self.claim.id,
            case="",
            statement=self.claim.statement,
            source=self.claim.source,
            nodeid=self.nodeid,
            model="variants",
            task=self._task_name,
            method=self.method,
            protocol={"variants": len(self.variants)},
            verdict=self.verdict or claims.invalid("the test ended without a verdict"),
            seeds=(SEED,),
            artefacts=self._keys,
            seconds=round(time.perf_counter() - self._started, 3),
            trials=tuple(self._trials.values()),
            study=self.claim.study,
        )

    @property
    def _task_name(self) -> str:
        """The one task of conditions that are drawn; variants of a task have each their own."""
        of_conditions = [variant for variant in self.variants if isinstance(variant, Conditions)]
        return self.study(of_conditions[0]).task_name if of_conditions else "pcfg variants"

    @property
    def goes_on(self) -> bool:
        """Whether there is more to try: never, as every variant has one seed of its own."""
        return False

    def invalidate(self, reason: str) -> None:
        """Make the verdict invalid."""
        self.verdict = claims.invalid(reason)


def seed_of(variant: AnyVariant) -> int:
    """A seed of its own for the models of every variant of a task, so that trials are independent of each other.

    Conditions have theirs drawn among the seeds of which there are base models.
    """
    return variant.seed if isinstance(variant, Conditions) else subseed(SEED, f"variant {variant.id}")


def share_of(counts: Mapping[Status, int], threshold: float) -> Verdict:
    """The claim that it holds on a share of at least `threshold` of those that it could be put to the test on.

    effect: the share on which it is supported. The interval is Wilson's; those that stay open may hold or not, so its lower end
    is without them and its upper end with them. The reason has the same of those on which it is refuted.
    """
    supported, total = counts.get(Status.SUPPORTED, 0), sum(counts.values())
    decided, open_ = total - counts.get(Status.INVALID, 0), counts.get(Status.INCONCLUSIVE, 0)
    tally = ", ".join(f"{counts.get(status, 0)} {status}" for status in Status)
    if decided < LEAST_VALID * total or not decided:
        return claims.invalid(f"only {decided} of {total} variants could be put to the test: {tally}")
    effect = supported / decided
    ci = statistics.share_interval(supported, decided)[0], statistics.share_interval(supported + open_, decided)[1]
    verdict = Verdict(
        status=statistics.status(ci, threshold, ">="),
        effect=effect,
        ci=ci,
        threshold=threshold,
        direction=">=",
        margin=effect - threshold,
        n_seeds=1,
        what="share of variants",
    )
    refuted = counts.get(Status.REFUTED, 0)
    low, high = statistics.share_interval(refuted, decided)[0], statistics.share_interval(refuted + open_, decided)[1]
    tally += f"; refuted on a share of {refuted / decided:.2f} [{low:.2f}, {high:.2f}]"
    return replace(verdict, reason=": ".join(filter(None, [tally, claims.shortfall(verdict)])))
