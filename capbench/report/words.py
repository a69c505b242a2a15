"""Words and numbers of a report: one way to say each, shared by terminal, Markdown and HTML."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from capbench.results import DERIVED, Capability, Record, Results, Status, Verdict
from capbench.verdicts.claims import shortfall

DASH = "\N{EN DASH}"  # no value
PROVISIONAL = "provisional"  # from a single seed
ICONS = {"supported": "✔", "refuted": "✘", "inconclusive": "?", "invalid": "⊘"}
COUNTED = frozenset({"steps", "neurons", "weights", "strings", "tokens", "seeds", "blocks", "models"})


def number(value: float | None, *, unit: str = "", sign: bool = False) -> str:
    """About three digits; None is a dash, and only an exact zero is written as zero."""
    if value is None:
        return DASH
    if value == 0:
        return "0" if unit in COUNTED else "0.00"
    plus = "+" if sign else ""
    size = abs(value)
    if unit in COUNTED and value == int(value):
        return f"{value:{plus}.0f}"
    if size >= 100:
        return f"{value:{plus}.0f}"
    if size >= 10:
        return f"{value:{plus}.1f}"
    return f"{value:{plus}.2f}" if size >= 0.005 else f"{value:{plus}.1g}"


def interval(ci: tuple[float, float] | None) -> str:
    """A confidence interval as `[low, high]`."""
    return DASH if ci is None else f"[{number(ci[0])}, {number(ci[1])}]"


def threshold(verdict: Verdict) -> str:
    """The threshold with its direction, as in `>= 0.30`."""
    return DASH if verdict.threshold is None else f"{verdict.direction} {number(verdict.threshold)}"


def why(verdict: Verdict) -> str:
    """Why a claim is not supported; worked out from the numbers where the run recorded no reason."""
    return verdict.reason or shortfall(verdict) or _gap(verdict)


def _gap(verdict: Verdict) -> str:
    """Why there is nothing to work it out from."""
    what = verdict.what or "the effect"
    if verdict.status is Status.INVALID:
        return "it could not be tested: a control failed, or nothing was measured; the details below say which"
    if verdict.effect is None:
        return f"{what} has no value on any seed"
    return f"{what} is {number(verdict.effect)}, and no threshold was recorded to hold it against"


def typeset(text: str) -> str:
    """A number, interval or threshold with a real minus and relation sign, for the HTML page."""
    return text.replace(">=", "≥").replace("<=", "≤").replace("-", "\N{MINUS SIGN}")


def line(text: str) -> str:
    """Text from elsewhere on one line, without control characters (a terminal would obey them)."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def brief(how: str) -> str:
    """How an interval was found, without its particulars."""
    return re.split(r"[,;:(]", how)[0].strip()


def state(capability: Capability) -> str:
    """The verdict on a capability with its reservations, as in `wrapped (provisional, uncalibrated)`."""
    marks = [PROVISIONAL] if capability.provisional else []
    marks += ["uncalibrated"] if capability.uncalibrated else []
    return f"{capability.verdict} ({', '.join(marks)})" if marks else str(capability.verdict)


def by_seed(capability: Capability) -> str:
    """How many seeds have which state, as in `2 wrapped, 1 deleted`; a dash for a single seed."""
    counts = Counter(map(str, capability.per_seed.values())).most_common()
    return ", ".join(f"{n} {name}" for name, n in counts) if len(capability.per_seed) > 1 else DASH


def collateral(capability: Capability) -> str:
    """What became of the rest, and the worst of it as a share of the base model's accuracy: `damaged, Index 0.71`."""
    found = capability.collateral
    return DASH if found is None else f"{found.state}, {found.worst} {number(found.value)}"


def relabelling(capability: Capability) -> str:
    """What a fixed relabelling of the model's answers gives back, beside what it gives without the capability."""
    found = capability.relabelling
    if found is None:
        return DASH
    figures = f"{number(found.value)}, twin {number(found.twin)}, one answer {number(found.constant)}"
    by_seed = ", ".join(f"{seed}: {number(value)}" for seed, value in sorted(found.per_seed.items()))
    return f"{found.state} ({figures})" + (f"; by seed {by_seed}" if len(found.per_seed) > 1 else "")


def expectation(record: Record) -> str:
    """Whether the status is the one that the user expects: ' (expected)', ' (unexpected)', or nothing where none is stated."""
    if not record.expected:
        return ""
    return " (unexpected)" if record.expected.startswith("not met, ") else " (expected)"


def pairs(protocol: Mapping[str, Any]) -> str:
    """`{'c_tr': 1.0, 'lr': 'small'}` as `c_tr=1, lr=small`."""
    return ", ".join(f"{key}={plain(value)}" for key, value in protocol.items())


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def in_order(records: Sequence[Record]) -> list[Record]:
    """Records of one claim together, claims in order of first appearance (workers may have interleaved them)."""
    first: dict[str, int] = {}
    for record in records:
        first.setdefault(record.claim, len(first))
    return sorted(records, key=lambda record: first[record.claim])


def methods(results: Results) -> list[str]:
    """Every method judged in the run, in order of appearance; claims about base models have none."""
    named = [*(r.method for r in results.records), *(c.method for c in results.capabilities)]
    return list(dict.fromkeys(filter(None, named)))


def subject(capability: Capability) -> str:
    """Which model, as in `gpt, counter (prior=low)`."""
    prior = capability.protocol.get("prior")
    name = f"{capability.model}, {capability.task}" if capability.task else capability.model
    return name if prior is None else f"{name} (prior={plain(prior)})"


def treatment(capability: Capability) -> str:
    """The rest of its protocol: what was done to the model."""
    return pairs({k: v for k, v in capability.protocol.items() if k != "prior"}) or DASH


def case(capability: Capability) -> str:
    """The names of its case, without the prior and without the numbers behind them."""
    return pairs({k: v for k, v in capability.protocol.items() if k != "prior" and k not in DERIVED})


def answer(results: Results) -> str:
    """The run in one sentence: its claims counted by status."""
    if not results.records:
        return "Nothing was measured: this run holds no claims."
    ends = Counter(record.verdict.status for record in results.records)
    others = [f"{ends[status]} {status}" for status in Status if status is not Status.SUPPORTED and ends[status]]
    total = len(results.records)
    head = f"{ends[Status.SUPPORTED]} of {total} {'claim' if total == 1 else 'claims'} supported"
    return ", ".join([head, *others]) + "."


def seeds(values: Iterable[int]) -> str:
    """`3 seeds (0, 1, 2)`."""
    known = sorted(set(values))
    return f"{len(known)} {'seed' if len(known) == 1 else 'seeds'} ({', '.join(map(str, known))})" if known else DASH


def plain(value: Any) -> str:
    """A parameter's value, without needless digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)
