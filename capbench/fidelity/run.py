"""Our figures for the rows of a table: missing models are made, others come from the cache, then all are measured. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capbench.errors import CapbenchError
from capbench.fidelity.compare import Cell, compare
from capbench.fidelity.paper import Row, Table
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.session.making import make
from capbench.session.options.at_once import AtOnce
from capbench.session.progress import bar
from capbench.store.store import Store
from capbench.studies.base import Study
from capbench.studies.lab import Bench, Built, Lab


@dataclass(frozen=True, kw_only=True)
class Replication:
    """The rows, compared; and per group the lowest accuracy on O_PT, in per cent, of the models before fine-tuning.

    preset: the scale that the models were made at.
    """

    cells: tuple[Cell, ...]
    base: Mapping[str, float]
    preset: Any


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What one seed's models gave, in per cent, or why there is nothing.

    figures: by column, None for what was not recorded. base: accuracies on O_PT before fine-tuning.
    """

    figures: Mapping[str, float | None] | None = None
    base: Sequence[float] = field(default=())
    diverged: str = ""
    failed: str = ""
    unmade: str = ""


def replicate(
    table: Table,
    rows: Sequence[Row],
    *,
    study: Callable[[str], Study],
    seeds: Sequence[int],
    store: Store,
    at_once: AtOnce,
    say: Callable[[str], None],
    deadline: float = math.inf,
) -> Replication:
    """Make what is missing and read it, with the study of each name. What cannot be made, or diverges, is reported in
    its cell and stops nothing else.

    deadline, in seconds of time.monotonic(): what is not made by then is reported in its cell too; the rest is read.
    """
    lab = Lab(store)  # first, as it records the sources that the readings' keys are made of
    studies = {row.group.study: study(row.group.study) for row in rows}
    work = [(row, seed, table.models(studies[row.group.study], row, seed)) for row in rows for seed in seeds]
    steps = (step for *_, models in work for step in models.values())
    errors = make(Plan(steps), store, at_once=at_once, say=say, deadline=deadline)
    found: dict[str, list[_Answers]] = {row.id: [] for row in rows}
    with bar(len(work), unit="model") as progress:
        for row, seed, models in work:
            bench = Bench(study=studies[row.group.study], seed=seed)
            found[row.id].append(_answers(table, lab, bench, models, errors))
            progress(1)
    base: dict[str, float] = {}
    for row in rows:
        for accuracy in (value for one in found[row.id] for value in one.base):
            base[row.group.name] = min(accuracy, base.get(row.group.name, accuracy))
    return Replication(
        cells=tuple(_cell(row, seeds, found[row.id], store) for row in rows),
        base=base,
        preset=studies[rows[0].group.study].preset,
    )


def _answers(
    table: Table, lab: Lab, bench: Bench[Any], models: Mapping[str, Step], errors: Mapping[str, str]
) -> _Answers:
    failed = next((errors[step.key] for step in models.values() if step.key in errors), "")
    if failed:
        return _Answers(failed=failed)
    if not all(lab.store.has(step.key) for step in models.values()):
        return _Answers(unmade="not made yet")
    try:
        tuned = lab.built(models["tuned"])
        if tuned.meta.get("diverged"):
            return _Answers(diverged=f"training diverged at step {tuned.meta.get('steps', 0)}")
        measured = {m.name: m.value for m in lab.read(table.behaviour, bench, models)}
    except CapbenchError as error:
        return _Answers(failed=str(error))
    early = bench.study.preset.finetune_steps // 10
    figures = {
        column: _per_cent(measured[quantity.reading] if quantity.reading else _at(tuned, quantity.curve, early))
        for column, quantity in table.figures.items()
    }
    base = [_per_cent(value) for name, value in measured.items() if name.startswith("base.O_PT.")]
    return _Answers(figures=figures, base=[value for value in base if value is not None])


def _at(tuned: Built, curve: str, step: int) -> float | None:
    """The curve's value at a step; None where it has no such point, as a method's own loop recorded none."""
    return next((value for at, value in tuned.curve(curve) if at == step), None)


def _per_cent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 6)  # as 0.29 * 100 is not 29


def _cell(row: Row, seeds: Sequence[int], answers: Sequence[_Answers], store: Store) -> Cell:
    def by_seed(reasons: Sequence[str]) -> str:
        words = "; ".join(f"seed {seed}: {why}" for seed, why in zip(seeds, reasons, strict=True) if why)
        return words.replace(str(store.root), "the cache")  # its path is this machine's; a report is for others

    return compare(
        row,
        [one.figures for one in answers],
        diverged=by_seed([one.diverged for one in answers]),
        failed=by_seed([one.failed for one in answers]),
        unmade=by_seed([one.unmade for one in answers]),
    )
