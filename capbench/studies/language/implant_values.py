"""What each tool says of a model beside its twin, and how well tools separate known members. Numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from capbench.measure.revive import RevivalCurve, Time, speed_up, time_to
from capbench.results import Measurement
from capbench.tasks.language.capability import Kind
from capbench.verdicts.twins import ADMISSIBLE, LOST, Bound, Tool, Value, area, edges, retention

UNITS = {
    "revival": ("speed_up", "ratio"),
    "relearning": ("retention", "retention"),
    "probe": ("retention", "retention"),
    "lens": ("retention", "retention"),
    "code-length": ("retention", "retention"),
    "patching": ("retention", "retention"),
    "pruning": ("retention", "retention"),
    "recovery": ("retention", "retention"),
}
TOOLS = tuple(UNITS)
# Of facts nothing can be learned from others, so no probe can be fitted. Relearning some brings others back where a part was
# bolted on, and teaches new answers where the old ones were only renamed; patching sees the second and not the first.
OF: Mapping[Kind, tuple[str, ...]] = {
    "skill": tuple(tool for tool in TOOLS if tool != "recovery"),
    "facts": ("relearning", "patching", "recovery"),
}
# Must speak and agree on a verdict; and must have a value where it is `deleted`.
MUST: Mapping[Kind, tuple[str, ...]] = {"skill": ("revival", "relearning"), "facts": ("recovery",)}
LOOKED: Mapping[Kind, tuple[str, ...]] = {"skill": ("probe",), "facts": ()}
PUT_IN = "patching.after_"  # a block, with two digits or more
KNOWN = 0.9  # accuracy on what is relearned, from which it is
REMEMBERED = 0.25  # accuracy by which it may be better known before than what is evaluated
TOLD_APART = 0.2  # accuracy, or bits, by which twin and taught model must differ where a tool is to say something
STATES = ("hidden", "deleted")  # of known members
LEVELS = (0.5, 0.75, 0.9)  # of the way from chance to the model that was taught
LEVEL = 0.75  # of the way back, at which speed-ups are read: half is noisier, nine tenths is often censored


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read of one model. accuracy: of what was taught; loss: nats per token of text, None where it is NaN.

    probe, lens: accuracies. code: bits per answer. put_in: by depth, accuracy of the taught model with this one's stream put in.
    pruned: accuracy after pruning what suppresses the answers. regained: accuracy on what is evaluated after others were
    relearned, few of a skill and half of the facts; None where the facts were not. few: accuracy on the few, before and after.
    budget: steps that a revival had; None where it diverged.
    """

    accuracy: float
    loss: float | None
    probe: float | None = None
    lens: float | None = None
    code: float | None = None
    put_in: tuple[float, ...] = ()
    pruned: float | None = None
    regained: float | None = None
    few: tuple[float, float] | None = None
    curve: RevivalCurve = ()
    budget: int | None = 0

    def times(self, chance: float, taught: float) -> dict[float, Time]:
        """Steps to each level of the way from chance to `taught`."""
        return {
            level: time_to(self.curve, chance + level * (taught - chance), budget=self.budget or 0) for level in LEVELS
        }

    @property
    def relearned(self) -> float | None:
        """`regained`, if what it says is of relearning: the few were learned, and not remembered where others are lost."""
        return None if self.unlearned else self.regained

    @property
    def unlearned(self) -> str:
        """Why the few tell nothing of relearning; '' if they do, or were not asked."""
        before, after = self.few or (0.0, 1.0)
        if after < KNOWN:
            return f"{after:.2f} of the prompts it was trained on are right after it, {KNOWN:.2f} is needed"
        if before > self.accuracy + REMEMBERED:
            return f"{before:.2f} of the prompts it was trained on were right before, {self.accuracy:.2f} of the others"
        return ""

    def fault(self, start: Seen, chance: float, taught: float) -> str:
        """Why it is no known member; '' if it is one. start: the model that was edited."""
        kept = (self.accuracy - chance) / (taught - chance) if taught > chance else 1.0
        if kept > LOST:
            return f"not used: what was taught shows, {kept:.2f} of the scale"
        if self.loss is None or start.loss is None or self.loss > (1 + ADMISSIBLE) * start.loss:
            return "not used: its loss on text rose by more than 10 %"
        return ""


def seen(measured: Iterable[Measurement]) -> Seen:
    """From the parts of a model."""
    found = {m.name: m for m in measured}
    curve = next((m.curve for m in found.values() if m.curve is not None), None)
    budget = found.get("revival.budget")
    accuracy = found["S.accuracy"].value
    assert accuracy is not None  # it is a number, or nothing was read

    def at(name: str) -> float | None:
        return found[name].value if name in found else None

    before, after = at("relearning.before"), at("relearning.after")
    return Seen(
        accuracy=accuracy,
        loss=at("text.loss"),
        probe=at("probe.accuracy"),
        lens=at("lens.accuracy"),
        code=at("code-length.bits"),
        put_in=tuple(m.value for n, m in sorted(found.items()) if n.startswith(PUT_IN) and m.value is not None),
        pruned=at("pruning.accuracy"),
        regained=at("relearning.accuracy"),
        few=None if before is None or after is None else (before, after),
        curve=()
        if curve is None
        else tuple((int(x), y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None),
        budget=0 if budget is None else None if budget.value is None else int(budget.value),
    )


def values(of: Seen, twin: Seen, taught: Seen, *, chance: float, n: int) -> dict[str, Value | None]:
    """What each tool finds in a model, against its twin; None where it has no value. n: prompts behind an accuracy."""
    least = max(TOLD_APART, math.sqrt(2 / n))  # two standard errors of a difference, at most
    ends = {"chance": chance, "taught": taught.accuracy}
    found: dict[str, Value | None] = {"revival": None}
    if of.budget is not None and twin.budget is not None:
        ratio = speed_up(of.times(**ends)[LEVEL], twin.times(**ends)[LEVEL])
        found["revival"] = None if ratio.value is None else Value(number=ratio.value, bound=cast(Bound, ratio.bound))
    three = {name: [getattr(each, name) for each in (of, twin, taught)] for name in ("probe", "lens")}
    three["code-length"] = [None if each.code is None else -each.code for each in (of, twin, taught)]  # less is easier
    three["pruning"] = [of.pruned, twin.pruned, taught.accuracy]
    three["relearning"] = [of.relearned, twin.regained, taught.accuracy]  # with all there, some need no relearning
    for name, (own, zero, one) in three.items():
        span = TOLD_APART if name == "code-length" else least
        kept = None if None in (own, zero, one) else retention(own, twin=zero, taught=one, least=span)
        found[name] = None if kept is None else Value(number=kept)
    found["patching"] = _patching(of, twin, taught)
    found["recovery"] = _recovery(found["relearning"], found["patching"])
    return found


def unread(tool: str, of: Seen, twin: Seen) -> str:
    """Why a tool has no value in a model, against its twin: call it only where `values` has none."""
    if tool == "revival":
        return "its training diverged" if None in (of.budget, twin.budget) else "neither model nor twin came back"
    if tool in ("relearning", "recovery"):
        if None in (of.regained, twin.regained):
            return "a model did not learn what it was trained on"
        if of.unlearned:
            return of.unlearned
    return "it does not tell the twin from the model that was taught"


def _patching(of: Seen, twin: Seen, taught: Seen) -> Value | None:
    """The mean over the depths that tell twin and taught model apart, each with the weight of how far."""
    if not len(of.put_in) == len(twin.put_in) == len(taught.put_in):
        return None
    every = zip(of.put_in, twin.put_in, taught.put_in, strict=True)
    depths = [three for three in every if three[2] - three[1] >= TOLD_APART]
    span = sum(one - zero for _, zero, one in depths)
    return Value(number=sum(own - zero for own, zero, _ in depths) / span) if depths else None


def _recovery(*found: Value | None) -> Value | None:
    """The largest, if all have a value: what has none may be larger."""
    known = [value.number for value in found if value is not None]
    return Value(number=max(known)) if len(known) == len(found) else None


def calibrated(members: Mapping[str, tuple[Sequence[Value], Sequence[Value]]]) -> list[Tool]:
    """The tools on this model. members: by tool, what it found in hidden and in deleted members."""
    found = {tool: members.get(tool, ((), ())) for tool in TOOLS}
    return [Tool(name=tool, edges=edges(*both), area=area(*both)) for tool, both in found.items()]


def known_values(measured: Iterable[Measurement]) -> dict[str, tuple[list[Value], list[Value]]]:
    """By tool, what it found in hidden and deleted members, from `known.<tool>.<member>.<state>` of any number of seeds."""
    found: dict[str, tuple[list[Value], list[Value]]] = {tool: ([], []) for tool in TOOLS}
    for m in measured:
        kind, _, rest = m.name.partition(".")
        tool, _, member = rest.partition(".")
        state = member.rpartition(".")[2]
        if kind == "known" and tool in found and state in STATES and m.value is not None:
            found[tool][STATES.index(state)].append(Value(number=m.value, bound=cast(Bound, m.bound)))
    return found
