"""The strings that PCFG models are read on. Torch is imported inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capbench.studies.lab import Bench
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgStudy
    from capbench.tasks.base import Batch
    from capbench.tasks.pcfg.task import PcfgTask


def sampled(bench: Bench[PcfgStudy], operand: str, c_te: int, n: int) -> tuple[PcfgTask, Batch]:
    task = bench.study.evaluation(operand, c_te=c_te)
    return task, drawn(task, n, subseed(bench.seed, f"evaluate {operand} {c_te}"))


def drawn(task: PcfgTask, n: int, seed: int) -> Batch:
    from capbench.measure.accuracy import sample

    return sample(task, n, seed)
