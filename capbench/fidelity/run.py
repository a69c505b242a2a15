"""Ours for the rows of a table: missing models are made, the others come from the cache, then all are asked. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capbench.errors import CapbenchError
from capbench.fidelity.compare import Cell, compare
from capbench.fidelity.paper import FIGURES, Row, Table
from capbench.lab import Bench, Lab
from capbench.methods.registry import MethodRef
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.presets import Scale
from capbench.protocols.studies import STUDIES
from capbench.protocols.tracr_readings import behaviour
from capbench.running import bar, make
from capbench.store import Store


@dataclass(frozen=True, kw_only=True)
class Replication:
    """The rows, compared; and per task the least accuracy on O_PT, in per cent, of the models before fine-tuning."""

    cells: tuple[Cell, ...]
    base: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """Accuracies of one seed's models in per cent, by the reading's names; or why there are none."""

    values: Mapping[str, float] | None = None
    diverged: str = ""
    failed: str = ""

    @property
    def figures(self) -> dict[str, float] | None:
        if self.values is None:
            return None
        return {name: self.values[reading] for name, (_, reading) in FIGURES.items()}

    @property
    def base(self) -> list[float]:
        return [value for name, value in (self.values or {}).items() if name.startswith("base.O_PT.")]


def replicate(
    table: Table,
    rows: Sequence[Row],
    *,
    scale: Scale,
    seeds: Sequence[int],
    method: MethodRef,
    device: str,
    store: Store,
    jobs: int,
    say: Callable[[str], None],
) -> Replication:
    """Make what is missing and read it. What cannot be made, or diverges, is said in its cell and stops nothing else."""
    lab = Lab(store)  # first, as it takes note of the sources that the readings' keys are made of
    studies: dict[str, Any] = {task: STUDIES[name](scale, method, device) for task, name in table.studies.items()}
    work = [(row, seed, _models(studies[row.task], row, seed)) for row in rows for seed in seeds]
    errors = make(Plan(step for *_, models in work for step in models.values()), store, jobs=jobs, say=say)
    found: dict[str, list[_Answers]] = {row.id: [] for row in rows}
    with bar(len(work), unit="model") as progress:
        for row, seed, models in work:
            found[row.id].append(_answers(lab, Bench(study=studies[row.task], seed=seed), models, errors))
            progress(1)
    base: dict[str, float] = {}
    for row in rows:
        for accuracy in (value for one in found[row.id] for value in one.base):
            base[row.task] = min(accuracy, base.get(row.task, accuracy))
    return Replication(cells=tuple(_cell(row, seeds, found[row.id], store) for row in rows), base=base)


def _models(study: Any, row: Row, seed: int) -> dict[str, Step]:
    """Named as in the suites, so that readings are shared with them."""
    return {"base": study.base(seed), "tuned": study.finetuned(seed, c_tr=row.c_tr, lr=row.rate)}


def _answers(lab: Lab, bench: Bench, models: Mapping[str, Step], errors: Mapping[str, str]) -> _Answers:
    failed = next((errors[step.key] for step in models.values() if step.key in errors), "")
    if failed:
        return _Answers(failed=failed)
    try:
        meta = lab.built(models["tuned"]).meta
        if meta.get("diverged"):
            return _Answers(diverged=f"training diverged at step {meta.get('steps', 0)}")
        measured = lab.read(behaviour, bench, models)
    except CapbenchError as error:
        return _Answers(failed=str(error))
    # Rounded, as 0.29 * 100 is not 29.
    return _Answers(values={m.name: round(100 * m.value, 6) for m in measured if m.value is not None})


def _cell(row: Row, seeds: Sequence[int], answers: Sequence[_Answers], store: Store) -> Cell:
    def by_seed(reasons: Sequence[str]) -> str:
        words = "; ".join(f"seed {seed}: {why}" for seed, why in zip(seeds, reasons, strict=True) if why)
        return words.replace(str(store.root), "the cache")  # its place is this machine's; a report is for others

    return compare(
        row,
        [one.figures for one in answers],
        diverged=by_seed([one.diverged for one in answers]),
        failed=by_seed([one.failed for one in answers]),
    )
