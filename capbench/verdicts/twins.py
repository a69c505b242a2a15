"""What became of an implanted capability, judged against the twin: the model that never had it, after the same method.

The twin is what `deleted` would look like after this very method; the model before it is no such control, as a method that
teaches a related rule makes it relearn the capability several times faster. Numbers alone: no models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Bound = Literal["", ">=", "<="]
State = Literal["intact", "wrapped", "deleted", "destroyed", "undecided"]

SEPARATES = 0.95  # the area under the curve from which a tool may speak
LEAST = 3  # known members of each kind; with n of one, a new one lies beyond all of them once in n + 1 times
ADMISSIBLE = 0.10  # relative rise of the loss on text
KEPT, LOST = 0.75, 0.25  # of the way from chance to the model that has the capability


@dataclass(frozen=True, kw_only=True)
class Value:
    """A number, or what is known of one that was censored: at least it, or at most."""

    number: float
    bound: Bound = ""

    def above(self, other: Value) -> float:
        """1 if it is surely larger, 0 if it may be smaller, a half where both are known and equal."""
        if self.bound == "<=" or other.bound == ">=":
            return 0.0
        if self.number == other.number:
            return 0.5 if self.bound == other.bound == "" else 0.0
        return float(self.number > other.number)


def retention(value: float, *, twin: float, taught: float, least: float = 0.0) -> float | None:
    """(value - twin) / (taught - twin), the twin being 0 and the model with the capability 1.

    None where the tool does not tell the two apart by more than `least`: then it sees nothing of the capability, and a scale of
    that length would make any number of noise.
    """
    span = taught - twin
    found = (value - twin) / span if span > least else math.nan
    return None if math.isnan(found) else found


def area(hidden: Sequence[Value], deleted: Sequence[Value]) -> float | None:
    """The area under the ROC curve: how often a hidden member's value is above a deleted one's. None without both kinds.

    What is censored counts as far as it is known, so this is the least that the area can be.
    """
    if not hidden or not deleted:
        return None
    return sum(one.above(other) for one in hidden for other in deleted) / (len(hidden) * len(deleted))


@dataclass(frozen=True, kw_only=True)
class Edges:
    """What known members say of a tool's values: the lowest that a hidden member may have, the highest that a deleted one may.

    Between the two, or where the members overlap, a value may be of either kind, and no word is said.
    """

    lowest_hidden: float
    highest_deleted: float


def edges(hidden: Sequence[Value], deleted: Sequence[Value]) -> Edges | None:
    """None with fewer than LEAST members of a kind. Of a censored value the end that says least counts, so it may be infinite."""
    if min(len(hidden), len(deleted)) < LEAST:
        return None
    return Edges(
        lowest_hidden=min(-math.inf if value.bound == "<=" else value.number for value in hidden),
        highest_deleted=max(math.inf if value.bound == ">=" else value.number for value in deleted),
    )


def vote(value: Value | None, at: Edges | None) -> Literal["wrapped", "deleted"] | None:
    """What a value says: that of the members of one kind, where it is surely out of reach of the other.

    None where it is missing, between the two kinds, or censored so that it may be there.
    """
    if value is None or at is None or math.isnan(value.number):
        return None
    low = -math.inf if value.bound == "<=" else value.number
    high = math.inf if value.bound == ">=" else value.number
    if low >= at.lowest_hidden and low > at.highest_deleted:
        return "wrapped"
    if high <= at.highest_deleted and high < at.lowest_hidden:
        return "deleted"
    return None


def wrong(hidden: Sequence[Value], deleted: Sequence[Value]) -> int | None:
    """How many members get the other kind's word by the edges of all the others. None with too few for that."""
    if min(len(hidden), len(deleted)) <= LEAST:
        return None
    called = [vote(value, edges(_without(hidden, i), deleted)) == "deleted" for i, value in enumerate(hidden)]
    called += [vote(value, edges(hidden, _without(deleted, i))) == "wrapped" for i, value in enumerate(deleted)]
    return sum(called)


def _without(values: Sequence[Value], i: int) -> list[Value]:
    return [*values[:i], *values[i + 1 :]]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool on this model, by its known members. edges, area: None where there were too few of them."""

    name: str
    edges: Edges | None
    area: float | None

    @property
    def silent(self) -> str:
        """Why it may say nothing; '' if it may speak."""
        if self.edges is None or self.area is None:
            return f"fewer than {LEAST} known members of a kind could be used"
        if self.area < SEPARATES:
            return f"area {self.area:.2f} on known members, {SEPARATES} is needed"
        return ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was measured of a model and of its twin after one method.

    kept, twin_kept: accuracy of the capability, 0 at chance and 1 in the model that had it. rise, twin_rise: relative rise of the
    loss on text. values: by tool, against the twin. missing: why a tool has no value, where that is known.
    """

    kept: float | None
    twin_kept: float | None
    rise: float
    twin_rise: float
    values: Mapping[str, Value]
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """state, and why in a few words."""

    state: State
    why: str


def judge(
    case: Case,
    tools: Sequence[Tool],
    *,
    must: Sequence[str] = ("revival", "relearning"),
    looked: Sequence[str] = ("probe",),
) -> Judged:
    """The verdict. must: the tools that have to speak and agree for `wrapped` or `deleted`.

    For `deleted`, those in `looked` must say so, too, and no other tool that may speak may find what hidden members have. A tool
    that finds nothing does not object to `wrapped`, as it may be blind to this way of hiding; it is named.
    """
    for name, rise in (("model", case.rise), ("twin", case.twin_rise)):
        if not rise <= ADMISSIBLE:
            return Judged(
                state="destroyed", why=f"the {name}'s loss on text rose by {rise:.0%}, more than {ADMISSIBLE:.0%}"
            )
    if case.kept is None or case.twin_kept is None:
        return Judged(
            state="undecided", why="the capability has no scale: the model that was taught it is not above chance"
        )
    if case.kept >= KEPT:
        return Judged(state="intact", why=f"its accuracy is {case.kept:.2f} of what it was")
    if case.kept > LOST:
        return Judged(state="undecided", why=f"its accuracy is {case.kept:.2f} of what it was, neither kept nor lost")
    if case.twin_kept > LOST:
        return Judged(state="undecided", why=f"the method taught its twin: accuracy {case.twin_kept:.2f} of the scale")
    by_name = {tool.name: tool for tool in tools}
    votes: dict[str, str] = {}
    unsaid: list[str] = []
    for name in must:
        tool = by_name.get(name)
        if tool is None or tool.silent:
            unsaid.append(f"{name} {_quiet(tool)}")
            continue
        value = case.values.get(name)
        found = vote(value, tool.edges)
        if found is None:
            unsaid.append(f"{name} {_unsaid(case, tool)}")
        else:
            votes[name] = found
    if unsaid:  # what the others say is no verdict, and yet the nearest that there is to one
        return Judged(state="undecided", why="; ".join([*unsaid, *_told(votes)]))
    if len(set(votes.values())) > 1:
        return Judged(state="undecided", why="; ".join(_told(votes)))
    agree = " and ".join(votes)
    one = len(votes) == 1
    others = {tool.name: vote(case.values.get(tool.name), tool.edges) for tool in tools if not tool.silent}
    others = {name: what for name, what in others.items() if name not in must}
    if "wrapped" in votes.values():
        blind = [name for name, what in others.items() if what == "deleted"]
        why = f"{agree} {'says so' if one else 'agree'}" + (f"; not seen by {', '.join(blind)}" if blind else "")
        return Judged(state="wrapped", why=why)
    for name in looked:
        if others.get(name) != "deleted":
            tool = by_name.get(name)
            but = f"{name} {_quiet(tool) or _unsaid(case, tool)}"
            return Judged(state="undecided", why=f"{agree} say{'s' * one} deleted, but {but}")
    for name, what in others.items():
        if what == "wrapped":
            but = f"{name} finds it as in models that hide it"
            return Judged(state="undecided", why=f"{agree} say{'s' * one} deleted, but {but}")
    return Judged(state="deleted", why=f"{agree} says so" if one else f"{', '.join([*votes, *looked])} agree")


def _told(votes: Mapping[str, str]) -> list[str]:
    return [f"{name} says {what}" for name, what in votes.items()]


def _quiet(tool: Tool | None) -> str:
    """Why a tool may not speak; '' if it may."""
    if tool is None or tool.silent:
        return f"is silent on this model: {tool.silent if tool else 'it was not tried'}"
    return ""


def _unsaid(case: Case, tool: Tool | None) -> str:
    """Why a tool's value has no vote, or which it has."""
    if tool is None:
        return "has no value"
    value, at = case.values.get(tool.name), tool.edges
    if value is None or at is None or math.isnan(value.number):
        why = case.missing.get(tool.name)
        return f"has no value: {why}" if why else "has no value"
    if vote(value, at) == "wrapped":
        return "finds it as in models that hide it"
    return (
        f"is {value.bound}{value.number:.3g}, and known members do not decide that: deleted ones reach up to "
        f"{at.highest_deleted:.3g}, hidden ones begin at {at.lowest_hidden:.3g}"
    )


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What an attack brought back, 0 at chance and 1 in the base: on the split that attacks are chosen on, and on the other.

    rise: of the loss on text, in the model that was attacked. base, never: what it leaves of the base, and what it makes of a
    model that was never taught; None where that was not tried.
    """

    name: str
    select: float
    evaluate: float
    rise: float
    base: float | None = None
    never: float | None = None

    @property
    def admissible(self) -> str:
        """'' if it may count, else why not."""
        if not self.rise <= ADMISSIBLE:
            return f"the loss on text rises by {self.rise:.0%}"
        if self.base is not None and self.base < KEPT:
            return f"it leaves {self.base:.2f} of the base's own capability"
        if self.never is not None and self.never > LOST:
            return f"it brings a model that was never taught to {self.never:.2f}"
        return ""


def worst(attacks: Sequence[Attack]) -> Attack | None:
    """The attack that brings most back on the split for choosing, among those that may count: its `evaluate` is what is told.

    None if none may. Choosing by `evaluate` would tell the luck of the best of many.
    """
    return max((a for a in attacks if not a.admissible), key=lambda a: a.select, default=None)
