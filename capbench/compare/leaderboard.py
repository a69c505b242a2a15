"""Methods side by side: how often each left a capability intact, wrapped it or deleted it, and what the tools measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from capbench.compare.folders import started
from capbench.compare.pairing import mean
from capbench.errors import UsageError
from capbench.report.markdown import escape, table
from capbench.report.words import DASH, line, methods, number
from capbench.results import Capability, CapabilityState, FinetunedState, Record, Results, to_dict

SCHEMA = 1  # of a leaderboard as JSON


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One method in one run: over how many models it was judged, what came out, and means over them.

    revival: steps of Scr.+FT ÷ steps of reFT; retention: 0 = never taught, 1 = pretrained; o_pt: accuracy after fine-tuning,
    the lower of C_Te 0 and 1. steps and tokens: of one fine-tuning, means over models and seeds. None: not measured.
    seconds: of the whole run, so of all its methods, without models that came from the cache.
    """

    method: str
    run_id: str
    models: int
    verdicts: dict[str, int]
    finetuned: dict[str, int]
    revival: float | None
    retention: float | None
    o_pt: float | None
    steps: float | None
    tokens: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Methods in alphabetical order; notes say what keeps them from being compared."""

    scale: str
    standings: tuple[Standing, ...]
    notes: tuple[str, ...]


def leaderboard(runs: Sequence[Results]) -> Leaderboard:
    """One row per method, from its newest run. UsageError for runs of several scales, or none."""
    if not runs:
        raise UsageError("no runs to show; give run folders or directories of runs")
    by_scale: dict[str, list[str]] = {}
    for run in runs:
        by_scale.setdefault(run.run.scale, []).append(run.run.run_id)
    if len(by_scale) > 1:
        named = "; ".join(f"{scale}: {', '.join(ids)}" for scale, ids in sorted(by_scale.items()))
        raise UsageError(f"runs of different scales are never compared ({named}); give runs of one scale")
    newest: dict[str, Results] = {}
    notes = []
    for run in sorted({r.run.run_id: r for r in runs}.values(), key=lambda r: (started(r), r.run.run_id)):
        for name in methods(run):
            if name in newest:
                notes.append(f"{name}: run {newest[name].run.run_id} is omitted, as {run.run.run_id} is newer")
            newest[name] = run
    standings = tuple(_standing(newest[name], name) for name in sorted(newest))
    return Leaderboard(scale=runs[0].run.scale, standings=standings, notes=(*notes, *_unlike(newest)))


def to_text(found: Leaderboard) -> str:
    """Several tables, as one would be too wide for a terminal: states, the fine-tuned task, and what the tools measured."""
    from tabulate import tabulate

    head, rows = cells(found)
    parts = [f"methods at scale {line(found.scale)}"]
    states = 2 + len(CapabilityState)
    counts = states + len(FinetunedState)
    for columns in (range(states), (0, *range(states, counts)), (0, *range(counts, len(head)))):
        align = ["left", *["right"] * (len(columns) - 1)]
        shown = [[row[i] for i in columns] for row in rows]
        names = [head[i] for i in columns]
        parts.append(
            tabulate(shown, headers=names, tablefmt="simple", disable_numparse=True, colalign=align if rows else None)
        )
    return "\n\n".join([*parts, *(["\n".join(found.notes)] if found.notes else [])])


def to_markdown(found: Leaderboard) -> str:
    notes = "\n".join(f"- {escape(note)}" for note in found.notes)
    parts = [f"# capbench: methods at scale {escape(found.scale)}", table(*cells(found), numbers_from=1), notes]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_json(found: Leaderboard) -> str:
    return json.dumps({"schema": SCHEMA, **to_dict(found)}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


FORMATS = {"text": to_text, "markdown": to_markdown, "json": to_json}


def cells(found: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Head and text cells of the table."""
    states, ends = list(map(str, CapabilityState)), list(map(str, FinetunedState))
    head = ["method", "models", *states, *ends]
    head += ["revival ratio", "probe retention", "O_PT accuracy", "fine-tuning steps", "fine-tuning tokens", "seconds"]
    rows = []
    for row in found.standings:
        counts = [row.models, *(row.verdicts[s] for s in states), *(row.finetuned[s] for s in ends)]
        means = [number(row.revival), number(row.retention), number(row.o_pt), _whole(row.steps), _whole(row.tokens)]
        rows.append([line(row.method), *map(str, counts), *means, f"{row.seconds:.0f}"])
    return head, rows


def _standing(run: Results, method: str) -> Standing:
    judged = [c for c in run.capabilities if c.method == method]
    records = [r for r in run.records if r.method == method]
    return Standing(
        method=method,
        run_id=run.run.run_id,
        models=len(judged),
        verdicts=_counts(CapabilityState, (c.verdict for c in judged)),
        finetuned=_counts(FinetunedState, (c.finetuned for c in judged)),
        revival=_evidence(judged, "revival"),
        retention=_evidence(judged, "probing"),
        o_pt=_evidence(judged, "behaviour"),
        steps=_cost(records, "finetuning.steps"),
        tokens=_cost(records, "finetuning.tokens"),
        seconds=run.run.seconds,
    )


def _counts(states: Iterable[str], found: Iterable[str | None]) -> dict[str, int]:
    known = list(found)
    return {str(state): known.count(state) for state in states}


def _evidence(judged: Iterable[Capability], tool: str) -> float | None:
    return mean(e.value for c in judged for e in c.evidence if e.tool == tool and e.value is not None)


def _cost(records: Iterable[Record], name: str) -> float | None:
    """The mean over models and seeds; a model that several tests looked at counts once."""
    by_model = {
        (r.model, r.task, repr(sorted(r.protocol.items())), m.seed): m.value
        for r in records
        for m in r.measurements
        if m.name == name and m.is_number and m.value is not None
    }
    return mean(by_model.values())


def _unlike(newest: dict[str, Results]) -> list[str]:
    """What the counts of the methods rest on, where it is not the same for all."""
    notes = []
    judged = {name: {c.id for c in run.capabilities if c.method == name} for name, run in newest.items()}
    if len({frozenset(ids) for ids in judged.values()}) > 1:
        shared = len(set.intersection(*judged.values()))
        notes.append(
            f"not all methods were judged on the same models ({shared} are in all), so their counts differ for that reason too"
        )
    different: tuple[tuple[str, Callable[[Results], object]], ...] = (
        ("seeds", lambda r: r.run.seeds),
        ("versions of capbench", lambda r: r.run.capbench),
    )
    for what, fact in different:
        if len({fact(run) for run in newest.values()}) > 1:
            notes.append(f"not all methods were run with the same {what}")
    return notes


def _whole(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f}"
