"""What became of what a model had from pretraining, a row for each change. No truth is known of it, so it is no verdict."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from capbench.report.terminal import WIDTH
from capbench.report.words import in_order, interval, line, number
from capbench.results import Measurement, Record, Results

OUTCOME, LEFT = "natural.recovered", "natural.kept"  # measurements; the note of the first says it in words
HEAD = ["capability", "method", "seed", "left", "state", "why"]
NOTE = "Left: accuracy after the change, 0 at chance and 1 in the model before; the interval is over the items, 95 %."


class Fate(NamedTuple):
    """left: what the change left of it, with its interval. state: with the attack that showed it. why: a sentence."""

    capability: str
    method: str
    seed: int
    left: str
    state: str
    why: str


def fates(results: Results) -> list[Fate]:
    """Of every capability, case, method and seed once, though several claims measure it."""
    found: dict[tuple[str, str, int], Fate] = {}
    for record in in_order(results.records):
        for m in record.measurements:
            if m.name == OUTCOME and m.note:
                fate = _fate(record, m)
                found.setdefault((fate.capability, fate.method, fate.seed), fate)
    return list(found.values())


def natural_table(results: Results) -> str:
    """For a terminal: two lines or more for each; '' where nothing was asked of that kind."""
    parts = []
    for fate in fates(results):
        of = f"{fate.capability}, {', '.join(filter(None, [fate.method, f'seed {fate.seed}']))}"
        said = f"{fate.state}: {fate.why}" if fate.why else fate.state
        parts += [
            textwrap.fill(f"{of}: {fate.left} is left", WIDTH, subsequent_indent="  "),
            textwrap.fill(said, WIDTH, initial_indent="    ", subsequent_indent="    "),
        ]
    return "\n".join(["what became of what the model had from pretraining", *parts]) if parts else ""


def _fate(record: Record, outcome: Measurement) -> Fate:
    at = {m.name: m.value for m in record.measurements if m.seed == outcome.seed}
    low, high = at.get(f"{LEFT}.low"), at.get(f"{LEFT}.high")
    ends = "" if low is None or high is None else f" {interval((low, high))}"
    case = f"[{record.case}]" if record.case else ""
    state, _, why = line(outcome.note).partition(": ")
    left = f"{number(at.get(LEFT))}{ends}"
    return Fate(line(f"{record.task}{case}"), line(record.method), outcome.seed, left, state, why)
