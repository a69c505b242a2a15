"""Tools that look for a capability, and the rule that turns what they say into a state. A study brings its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from capbench.results import CapabilityState, Measurement

PRESENT, ABSENT, UNCLEAR = "present", "absent", "unclear"
UNMEASURED = "not measured"
KEPT, GONE = 0.90, 0.50  # accuracy: a behaviour is kept at or above, gone at or below
BEHAVIOUR = "behaviour"  # what is read first, as if it were a tool
SPREADS = 2.0  # standard deviations of a tool's zero that count as its noise: one-sided, about one never-taught model in twenty


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One way to look for a capability. measured: the measurement that it reads.

    It says present at or above one threshold, absent at or below the other, and unclear between. auc: by scale, how well it
    told known wrapped models from known deleted ones, on the half of the pool that set no threshold; a scale that is missing
    is one at which it was never calibrated. votes False: its word alone makes no verdict. Without a vote and without a veto it is
    reported, and no part of the verdict. vetoes: what it finds is not called deleted, with or without a vote: a tool that misses
    much may still be right where it finds something. A study's rule may ask more of it: PCFG patching has no vote, yet what
    revival finds is wrapped only if patching finds it too.

    zero: what it reads of a model without the capability, on average. spread: the measurement that says by how much such models
    differ, a standard deviation in the tool's unit; '' if nothing does.
    """

    name: str
    measured: str
    unit: str
    present: float
    absent: float
    auc: Mapping[str, float] = field(default_factory=dict, hash=False)
    votes: bool = True
    vetoes: bool = False
    zero: float = 0.0
    spread: str = ""

    @property
    def speaks(self) -> bool:
        """Whether the rule hears of it."""
        return self.votes or self.vetoes

    @property
    def prefix(self) -> str:
        """How the names of its measurements begin."""
        return self.measured.rpartition(".")[0] + "."

    def reads(self, value: float | None, bound: str = "", *, spread: float | None = None) -> str:
        """What it says of a value: present, absent or unclear; 'not measured' without one.

        Of a value that is only known by a bound ('>=' or '<=') it says what holds for every value within that bound, and
        'not measured' where they differ: at least 3 may be present and is never absent, at most 1 may be absent and is never
        present.

        spread: of its zero, where that was measured. A value within that noise may be of a model without the capability, so it is
        not present, whatever the threshold. And where the threshold itself lies within the noise, such models cannot be told from
        others, so that no value is absent.
        """
        if value is None:
            return UNMEASURED
        noise = -math.inf if spread is None else self.zero + SPREADS * spread
        present = value >= self.present and value > noise
        if bound == ">=":
            return PRESENT if present else UNMEASURED
        if bound == "<=" and value >= self.present:
            return UNMEASURED
        return PRESENT if present else ABSENT if value <= self.absent and self.present > noise else UNCLEAR


Readings = Mapping[str, str]  # tool -> present, absent or unclear, of the tools that vote or veto and of behaviour
Rule = Callable[[Readings], CapabilityState | str]


def unanimous(says: Readings) -> CapabilityState | str:
    """The simplest rule: wrapped where every tool finds the capability, deleted where none does, else undecided."""
    found = {reading for tool, reading in says.items() if tool != BEHAVIOUR}
    if not found:
        return "behaviour gone, but no tool was measured"
    if found == {PRESENT}:
        return CapabilityState.WRAPPED
    return CapabilityState.DELETED if found == {ABSENT} else ""


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    """How the models of a study are judged: by their behaviour, and by tools where it is gone.

    tools: each is read where its measurement was made. rule: gives the state of a model whose behaviour is gone, or why there
    is none; '' says that the tools disagree. behaviour: the measurements of accuracy on the capability, all of which must
    have been made; the lowest counts. case: the parameters of a case that is about one fine-tuned model.

    collateral: a reading of the models `base` and `tuned`, made of every fine-tuned model that a claim looks at: accuracy on
    what else the base model may know, `tuned.before.<name>` and `tuned.others.<name>`. None where it can know nothing else.
    """

    tools: tuple[Tool, ...] = ()
    rule: Rule = unanimous
    behaviour: tuple[str, ...] = ("tuned.O_PT.c_te0", "tuned.O_PT.c_te1")
    case: tuple[str, ...] = ("c_tr", "lr")
    collateral: Callable[..., Iterable[Measurement]] | None = None

    def judges(self, parameters: Iterable[str]) -> bool:
        """Whether a case with these parameters is about one fine-tuned model."""
        return set(self.case) <= set(parameters)

    def uncalibrated(self) -> Toolbox:
        """The same tools for models that they were never calibrated on."""
        return replace(self, tools=tuple(replace(tool, auc={}) for tool in self.tools))


def unmeasured(needed: Sequence[str], says: Readings) -> str:
    """For rules: which of these tools were not measured, in words; '' if all were."""
    missing = [tool for tool in needed if tool not in says]
    verb = "was" if len(missing) == 1 else "were"
    return f"behaviour gone, but {' and '.join(missing)} {verb} not measured" if missing else ""
