"""What one tool says of a model: its value and reading on each seed, and over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from capbench.results import Evidence, Measurement
from capbench.verdicts.counting import agreed
from capbench.verdicts.tools import ABSENT, PRESENT, SPREADS, UNCLEAR, UNMEASURED, Tool

Reading = tuple[float | None, str]  # a value, and '>=' or '<=' if it is only a bound


def evidence(
    tool: Tool, measured: Mapping[int, Measurement], seeds: Sequence[int], spreads: Mapping[int, float] | None = None
) -> Evidence:
    """The tool read on every seed. What it says over the seeds is counted: a seed is decided where it is present or absent.

    spreads: of the tool's zero, on the seeds on which that was measured.
    """
    spreads = spreads or {}
    found = {seed: measured.get(seed) for seed in seeds}
    per_seed = {seed: None if m is None else m.value for seed, m in found.items()}
    bounds = {seed: m.bound for seed, m in found.items() if m is not None and m.bound}
    value, bound = _over_seeds(per_seed, bounds)
    return Evidence(
        tool=tool.name,
        value=value,
        unit=tool.unit,
        reading=_reading([tool.reads(per_seed[s], bounds.get(s, ""), spread=spreads.get(s)) for s in seeds]),
        rule=f"present from {tool.present:g}, absent up to {tool.absent:g}" + _noise(tool, list(spreads.values())),
        per_seed=per_seed,
        bound=bound,
        bounds=bounds,
    )


def unsaid(tool: Tool, m: Measurement, spread: float | None = None) -> str:
    """Why a tool says nothing of what was measured, in words; '' if it says something."""
    if tool.reads(m.value, m.bound, spread=spread) != UNMEASURED:
        return ""
    note = f" ({m.note})" if m.note else ""
    if m.value is None:
        return f"{tool.name} has no value{note}"
    return f"{tool.name} is only known to be {m.bound} {m.value:.3g}{note}"


def _noise(tool: Tool, spreads: Sequence[float]) -> str:
    """What the noise of its zero adds to a tool's rule, in words."""
    if not spreads:
        return ""
    ends = sorted({f"{tool.zero + SPREADS * spread:.2f}" for spread in (min(spreads), max(spreads))}, key=float)
    return f"; its zero's noise reaches up to {' to '.join(ends)}"


def _reading(by_seed: Sequence[str]) -> str:
    decided = agreed([reading if reading in (PRESENT, ABSENT) else None for reading in by_seed])
    return decided or (UNMEASURED if set(by_seed) == {UNMEASURED} else UNCLEAR)


def _over_seeds(per_seed: Mapping[int, float | None], bounds: Mapping[int, str]) -> Reading:
    """The mean of the seeds with a value; with bounds among them, what bounds the value of each seed, if anything does."""
    values = [value for value in per_seed.values() if value is not None]
    kinds = set(bounds.values())
    if not values or len(kinds) > 1:
        return None, ""
    if not kinds:
        return fmean(values), ""
    return (min(values), ">=") if kinds == {">="} else (max(values), "<=")
