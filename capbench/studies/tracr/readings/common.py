"""What the readings of compiled models share: strings, answers, residual dimensions and pictures. Torch is imported inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capbench.results import Grid, Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from torch import Tensor

    from capbench.studies.tracr.study import TracrStudy
    from capbench.tasks.base import Batch
    from capbench.tasks.tracr.strings import StringTask

TITLES = {"base": "compiled", "tuned": "fine-tuned", "never": "compiled for O_FT"}


def operands(bench: Bench[TracrStudy]) -> tuple[tuple[str, Any], ...]:
    return ("O_PT", bench.study.o_pt), ("O_FT", bench.study.o_ft)


def sampled(bench: Bench[TracrStudy], operand: str, c_te: int) -> tuple[StringTask, Batch]:
    """The same strings for both operands: the seed does not depend on which is asked for."""
    from capbench.measure.accuracy import sample

    study = bench.study
    task = study.evaluation(dict(operands(bench))[operand], c_te=c_te)
    return task, sample(task, study.preset.n_evaluate, subseed(bench.seed, f"evaluate {c_te}"))


def answers_of(task: StringTask, batch: Batch) -> Tensor:
    return batch.targets[:, task.answer_pos]


def dimensions(built: Built, tokens: Tensor, variable: str, *, after_block: int) -> Tensor:
    """[batch, pos, value]: the residual dimensions of a program's variable, in the order of its values 0, 1, 2 …"""
    import torch

    from capbench.measure.accuracy import device_of

    model: Any = built.model
    values = {label: i for i, label in enumerate(model.residual_labels) if label.rpartition(":")[0] == variable}
    order = sorted(values, key=lambda label: int(label.rpartition(":")[2]))
    with torch.no_grad():
        resid = model.run_with_cache(tokens.to(device_of(model)))[1].resid[after_block + 1].cpu()
    found: Tensor = resid[:, :, [values[label] for label in order]]
    return found


def picture(bench: Bench[TracrStudy], group: str, series: str, unit: str, grid: Grid) -> Measurement:
    return Measurement(
        name=f"{group}.map", value=None, unit=unit, n=1, seed=bench.seed, group=group, series=series, grid=grid
    )


def rounded(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, 4) for value in row) for row in values.tolist())


def words_of(task: StringTask, tokens: Tensor) -> tuple[str, ...]:
    return tuple(task.vocabulary[i] for i in tokens.tolist())
