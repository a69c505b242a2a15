"""A model before and after a change, and a capability that it had before: what became of it, by the attacks that are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from capbench.errors import NoAnswerError, UsageError
from capbench.measure.attacks.ground import Attack, Ground, NotCarriedOutError, Tried
from capbench.measure.attacks.named import NAMES, attacks
from capbench.measure.attacks.reft import Reft
from capbench.measure.language.answers import accuracy
from capbench.measure.language.retain import rise
from capbench.measure.language.scale import Score, scaled
from capbench.models.base import Model
from capbench.tasks.language.novel import novel, permuted
from capbench.verdicts.natural import Attempt, Judged, Share, judge, needs_attacks, wanted
from capbench.verdicts.twins import KEPT, LOST

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Relearnt:
    """Facts: accuracy on V, the half that is scored, after training on something. base: the same of the model before."""

    what: str
    tuned: Score
    base: Score


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that was read of a pair of models.

    chance: accuracy without knowledge. base, tuned: on the items to evaluate. loss_*: on text to keep, nats per token. others_*:
    accuracy on prompts to keep, None without any. impossible: attack -> why. relearnt: of facts, on V.
    """

    capability: str
    kind: str
    items: Mapping[str, int]
    chance: float
    base: Score
    tuned: Score
    share: Share
    loss_base: float
    loss_tuned: float
    judged: Judged
    others_base: float | None = None
    others_tuned: float | None = None
    attempts: tuple[Attempt, ...] = ()
    impossible: Mapping[str, str] = field(default_factory=dict)
    relearnt: tuple[Relearnt, ...] = ()

    @property
    def rise(self) -> float:
        """Relative rise of the loss on text."""
        return rise(self.loss_base, self.loss_tuned)

    @property
    def by(self) -> Attempt | None:
        """The attack that is told, see `verdicts.natural.Judged`."""
        return next((a for a in self.attempts if a.name == self.judged.by), None)


def judged(
    base: Model, tuned: Model, ground: Ground, *, names: Iterable[str] = NAMES, say: Say = lambda _: None
) -> Found:
    """The verdict on a pair of models that read the same tokens.

    Raises UsageError where the model before the change does not have the capability, with its accuracy.
    """
    return _Judging(base, tuned, ground, say).found(tuple(names))


def requirement(score: Score, chance: float) -> str:
    """Why a model of this accuracy cannot have lost a capability; '' if it has it."""
    low, high = score.interval
    if score.can(chance):
        return ""
    return (
        f"the model before the change does not have the capability: accuracy {score.accuracy:.2f} [{low:.2f}, {high:.2f}] on "
        f"{score.n} items to evaluate, chance {chance:.2f}; it must be surely above chance, by .2 or more"
    )


class _Judging:
    """Attacks on the model after the change, and on what controls them: each is carried out once."""

    def __init__(self, base: Model, tuned: Model, ground: Ground, say: Say) -> None:
        self._base, self._tuned, self._ground, self._say = base, tuned, ground, say
        self._done: dict[tuple[str, str], Tried] = {}
        self._score = ground.score(base, "evaluate")
        self._loss = ground.loss(base)

    def found(self, names: tuple[str, ...]) -> Found:
        ground, chance = self._ground, self._ground.chance
        if why := requirement(self._score, chance):
            raise UsageError(why)
        tuned, loss = self._after()
        share = self._share(tuned)
        others = ground.tokeniser.others(ground.of)
        found = Found(
            capability=ground.of.name,
            kind=ground.of.kind,
            items={split: len(items) for split, items in ground.items.items()},
            chance=chance,
            base=self._score,
            tuned=tuned,
            share=share,
            loss_base=self._loss,
            loss_tuned=loss,
            others_base=None if others is None else accuracy(self._base, others),
            others_tuned=None if others is None or math.isinf(loss) else accuracy(self._tuned, others),
            judged=judge(share, rise(self._loss, loss)),
        )
        if not needs_attacks(share, found.rise):
            return found
        attempts, impossible, broken_off = self._attempts(attacks(names, self._base, self._tuned, ground), share)
        return replace(
            found,
            attempts=tuple(attempts),
            impossible=impossible,
            judged=judge(share, found.rise, attempts, broken_off=broken_off),
            relearnt=self._relearnt() if ground.of.kind == "facts" and "reft" in names else (),
        )

    def _after(self) -> tuple[Score, float]:
        """Of the model after the change: its score, and its loss on text. One that answers NaN is damaged beyond any number."""
        try:
            return self._ground.score(self._tuned, "evaluate"), self._ground.loss(self._tuned)
        except NoAnswerError:
            return Score(right=0, n=len(self._ground.items["evaluate"])), math.inf

    def _attempts(self, tried: list[Attack], after: Share) -> tuple[list[Attempt], dict[str, str], list[str]]:
        """What each attack brings back; why some could not be tried; and which broke off on this model and not on that before."""
        found, impossible, broken_off = dict[str, Attempt](), dict[str, str](), list[str]()
        by_name = {attack.name: attack for attack in tried}
        for attack in tried:
            try:
                found[attack.name] = self._attempt(attack)
            except (UsageError, NoAnswerError) as error:
                impossible[attack.name] = str(error)
                if isinstance(error, (NotCarriedOutError, NoAnswerError)) and self._leaves_base(attack):
                    broken_off.append(attack.name)
        settled: Attempt | None = None
        for attempt in sorted(found.values(), key=lambda a: -a.select):
            # Those that bring less back are not told as the worst. But that nothing was recovered is said of them all.
            if settled and (settled.high >= wanted(after) or attempt.high < wanted(after)):
                continue
            controlled = self._controlled(by_name[attempt.name], attempt)
            found[attempt.name] = controlled
            if settled is None and controlled.select > LOST and not controlled.admissible:
                settled = controlled
        return list(found.values()), impossible, broken_off

    def _attempt(self, attack: Attack) -> Attempt:
        made = self._on(attack, "the model after the change", self._tuned, self._ground)
        share = self._share(made.evaluate)
        return Attempt(
            name=attack.name,
            select=self._share(made.select).value,
            evaluate=share.value,
            low=share.low,
            high=share.high,
            rise=rise(self._loss, made.loss),
            detail=made.detail,
            relearns=isinstance(attack, Reft),
        )

    def _controlled(self, attack: Attack, attempt: Attempt) -> Attempt:
        """With its controls: that on a capability that was never taught only where it brings something back.

        A control on which the attack is not possible says nothing.
        """
        base = self._control(attack, "the model before it", self._ground)
        if attempt.select <= LOST or (base is not None and replace(attempt, base=base).admissible) or not self._novel:
            return replace(attempt, base=base)
        return replace(attempt, base=base, never=self._control(attack, "what no model was taught", self._novel))

    def _leaves_base(self, attack: Attack) -> bool:
        """Whether the attack can be carried out on the model before, and leaves it its capability."""
        left = self._control(attack, "the model before it", self._ground)
        return left is not None and left >= KEPT

    def _control(self, attack: Attack, where: str, ground: Ground) -> float | None:
        """What is left of the base's capability, 0 at chance; None where the attack is not possible."""
        try:
            made = self._on(attack, where, self._base, ground)
            both = Score(right=made.select.right + made.evaluate.right, n=made.select.n + made.evaluate.n)
            right = both.accuracy
        except UsageError:
            return None
        except NoAnswerError:  # it answers nothing then
            right = 0.0
        return scaled(right, chance=ground.chance, base=max(self._score.accuracy, ground.chance + 1e-9))

    @cached_property
    def _novel(self) -> Ground | None:
        """What no model was taught; None for a checker, which knows only the items of its own."""
        of = self._ground.of
        return None if of.is_checked else self._ground.about(novel(of, seed=self._ground.effort.seed))

    def _relearnt(self) -> tuple[Relearnt, ...]:
        """What training on T, on T with other answers and on unrelated facts does to V, in both models."""
        e = self._ground.effort
        dealt = self._ground.about(permuted(self._ground.of, seed=e.seed))
        rows = (
            ("the other half", Reft(e.rates[1], e.steps), self._ground),
            ("the other half with permuted answers", Reft(e.rates[1], e.steps), dealt),
            ("as many unrelated facts", _unrelated(self._base, self._tuned, self._ground), self._ground),
        )
        found = list[Relearnt]()
        for what, attack, ground in rows:
            where = "" if ground is self._ground else f", {what}"
            try:
                tuned = self._on(attack, f"the model after the change{where}", self._tuned, ground)
                base = self._on(attack, f"the model before it{where}", self._base, ground)
            except (UsageError, NoAnswerError):
                continue
            found.append(Relearnt(what=what, tuned=tuned.evaluate, base=base.evaluate))
        return tuple(found)

    def _on(self, attack: Attack, where: str, model: Model, ground: Ground) -> Tried:
        if (attack.name, where) not in self._done:
            self._say(f"{attack.name}, on {where}")
            self._done[attack.name, where] = attack.on(model, ground)
        return self._done[attack.name, where]

    def _share(self, score: Score) -> Share:
        value, low, high = (self._scaled(each) for each in (score.accuracy, *score.interval))
        return Share(value=value, low=low, high=high)

    def _scaled(self, accuracy: float) -> float:
        found = scaled(accuracy, chance=self._ground.chance, base=self._score.accuracy)
        assert found is not None, "the model before the change is above chance"
        return found


def _unrelated(base: Model, tuned: Model, ground: Ground) -> Attack:
    (found,) = attacks(("unrelated",), base, tuned, ground)
    return found
