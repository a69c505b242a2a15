"""What a half of the pool came to: from the readings of all its seeds, areas, confusion and errors. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from capbench.results import Measurement
from capbench.studies.calibration.areas import Interval, Sample, auc, auc_interval, pooled, share_interval
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.table import MAKINGS

_AGAINST = {(m.kind, m.name): m.against for makings in MAKINGS.values() for m in makings}
_COMPILED = "compiled counter"
SIDES = (Kind.WRAPPED, Kind.DELETED)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A member, the verdict on it and why, and by tool what it read: the measurement, whose note is what the tool said."""

    seed: int
    kind: Kind
    made: str
    task: str
    said: str
    why: str
    values: Mapping[str, Measurement]

    @property
    def right(self) -> bool:
        return self.said == self.kind.verdict

    @property
    def compiled(self) -> bool:
        return self.task == _COMPILED

    @property
    def name(self) -> str:
        return f"{self.made} ({self.task}, seed {self.seed})"

    def built_against(self, tool: str) -> bool:
        """Whether it was made to fool this tool."""
        return not self.compiled and tool in _AGAINST.get((self.kind, self.made), ())

    def at_worst(self, tool: str) -> float | None:
        """The value by which it is told from others; None if the tool has none.

        A bound counts as itself where the true value would be told apart even better (a wrapped model's is at least that, a
        deleted one's at most), and else as the worst that it allows.
        """
        m = self.values.get(tool)
        if m is None or m.value is None or not m.bound or m.bound == (">=" if self.kind is Kind.WRAPPED else "<="):
            return None if m is None else m.value
        return math.inf if m.bound == ">=" else -math.inf

    def explained(self) -> str:
        """The verdict and what each tool said, in one line."""
        tools = [f"{tool} {_shown(m)} ({m.note})" for tool, m in self.values.items()]
        return f"{self.kind} {self.name} was called {self.said}: {self.why}; {', '.join(tools)}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All members of a half."""

    judged: tuple[Judged, ...]

    @classmethod
    def read(cls, measured: Iterable[Measurement]) -> Outcome:
        """From what the reading `known` gave of each seed."""
        values: dict[tuple[int, str], dict[str, Measurement]] = {}
        verdicts: dict[tuple[int, str], Measurement] = {}
        for m in measured:
            what, _, rest = m.name.partition(".")
            if what == "verdict":
                verdicts[m.seed, rest] = m
            elif what == "value":
                tool, _, member = rest.partition(".")
                values.setdefault((m.seed, member), {})[tool] = m
        found = []
        for (seed, member), m in verdicts.items():
            kind, made, task = member.split(".")
            given = {"kind": Kind(kind), "made": made, "task": task, "said": m.series, "why": m.note}
            found.append(Judged(seed=seed, values=values.get((seed, member), {}), **given))  # type: ignore[arg-type]
        return cls(judged=tuple(found))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({j.seed for j in self.judged}))

    def sample(self, tool: str, *, compiled: bool) -> dict[int, Sample]:
        """By seed, a tool's values on wrapped and on deleted models, without those that were built against it."""
        found: dict[int, Sample] = {}
        for seed in self.seeds:
            of_kind: list[list[float]] = []
            for kind in SIDES:
                asked = (j for j in self.judged if (j.seed, j.kind, j.compiled) == (seed, kind, compiled))
                values = (j.at_worst(tool) for j in asked if not j.built_against(tool))
                of_kind.append([value for value in values if value is not None])
            found[seed] = (of_kind[0], of_kind[1])
        return found

    def area(self, tool: str, *, compiled: bool) -> tuple[float, Interval] | None:
        """A tool's area and its interval; None where it has values on one side only."""
        sample = self.sample(tool, compiled=compiled)
        interval = auc_interval(sample)
        return None if interval is None else (auc(*pooled(sample)), interval)

    def against(self, tool: str, *, compiled: bool) -> tuple[Judged, ...]:
        """The models that were built against a tool."""
        return tuple(j for j in self.judged if j.compiled is compiled and j.built_against(tool))

    @property
    def right(self) -> tuple[float, Interval] | None:
        """The share of right verdicts, and its interval."""
        by_seed = {seed: [j.right for j in self.judged if j.seed == seed] for seed in self.seeds}
        interval = share_interval(by_seed)
        every = [right for values in by_seed.values() for right in values]
        return None if interval is None else (sum(every) / len(every), interval)

    def called(self, kinds: Sequence[Kind], states: Sequence[str]) -> tuple[Judged, ...]:
        """The members of some kinds whose verdict is one of these."""
        return tuple(j for j in self.judged if j.kind in kinds and j.said in states)

    @property
    def errors(self) -> tuple[Judged, ...]:
        return tuple(j for j in self.judged if not j.right)

    def confusion(self, kind: Kind) -> dict[str, int]:
        """How often the members of a kind were called what."""
        states = [k.verdict for k in Kind]
        return {str(state): len(self.called([kind], [state])) for state in states}


def _shown(m: Measurement) -> str:
    return "no value" if m.value is None else f"{m.bound} {m.value:.2f}".strip()
