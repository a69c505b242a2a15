"""Fine-tuning only where the wrapper sits, beside the same effort elsewhere: equal steps, about equally many trained numbers.

    pytest suites/verdict/test_trained.py -k "weak and medium" --capbench-seeds=5 --capbench-report=out/ \\
      --capbench-method=full $(for f in low_rank rows rows_elsewhere adapter adapter_elsewhere surgery; do
      echo --capbench-method=benchmarks/wrapper_targeted.py:$f; done)
    python benchmarks/wrapper_targeted.py out/RUN

About 4 100 numbers train, of the 100 000 in the blocks: a low-rank change of rank 2 in all maps, one of rank 4 in the maps of one
of the two blocks, or 48 rows (64 or 256 numbers each, 85 on average). Updates are scaled by 4. All take as many steps; what
looks for a place spends a quarter of them on that, also where it then trains elsewhere. `surgery` fine-tunes everything first, so
it is compared at equal steps alone. The rates, ten times the study's but for `surgery`, are a guess: before a run is told, they
are to be chosen for each function on a seed that is not (100), by the accuracy on O_FT at C_Te 0 after C_Tr 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from capbench.configs import TrainConfig
from capbench.errors import CapbenchError, UsageError
from capbench.methods.deletion.wrapper_surgery import wrapper_surgery
from capbench.methods.finetuning.lora import lora
from capbench.methods.finetuning.wrapper_adapter import wrapper_adapter
from capbench.methods.finetuning.wrapper_rows import wrapper_rows
from capbench.models.base import Model
from capbench.report import load
from capbench.report.markdown import table
from capbench.report.words import by_seed, number, state
from capbench.results import Capability, Record, Results
from capbench.tasks.finetuning import FineTuningTask
from capbench.verdicts.effects import Effect
from capbench.verdicts.statistics import estimate

RANK, ALL_RANK, ROWS = 4, 2, 48
HEAD = (
    *("method", "C_Tr", "O_FT at C_Te 1", "O_FT at C_Te 0", "O_PT at C_Te 0"),
    *("state", "revival", "least kept of the rest"),
)


def low_rank(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """LoRA in all linear maps."""
    return lora(model, task, config, rank=ALL_RANK, alpha=4 * ALL_RANK, lr_factor=10)


def rows(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """The rows that pruning points at."""
    return wrapper_rows(model, task, config, neurons=ROWS, lr_factor=10)


def rows_elsewhere(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """As many others of the same maps."""
    return wrapper_rows(model, task, config, neurons=ROWS, lr_factor=10, by="elsewhere")


def adapter(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """LoRA in the block in which O_PT goes."""
    return wrapper_adapter(model, task, config, rank=RANK, alpha=4 * RANK, lr_factor=10)


def adapter_elsewhere(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """LoRA in the other block."""
    return wrapper_adapter(model, task, config, rank=RANK, alpha=4 * RANK, lr_factor=10, by="elsewhere")


def surgery(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """Fine-tune, zero what carries O_PT below the wrapper, train that again."""
    return wrapper_surgery(model, task, config, neurons=ROWS)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A table of a run of the methods in this file.")
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of its report")
    given = parser.parse_args(argv)
    try:
        print(shown(load(given.run)))
    except (CapbenchError, OSError) as error:
        print(f"wrapper_targeted.py: {error}", file=sys.stderr)
        return 2
    return 0


def shown(results: Results) -> str:
    """A row for each method and C_Tr, in the order of C_Tr."""
    found = [(each, record) for each in results.capabilities if (record := _verdict(results, each)) is not None]
    if not found:
        raise UsageError("it has no claim `verdict` on a model with a C_Tr")
    return table(
        HEAD, [_row(*pair) for pair in sorted(found, key=lambda p: -float(p[0].protocol["c_tr"]))], numbers_from=99
    )


def _verdict(results: Results, of: Capability) -> Record | None:
    """The record of the claim on a model."""
    of_verdicts = (
        r for r in results.records if r.claim == "verdict" and r.method == of.method and "c_tr" in r.protocol
    )
    return next((record for record in of_verdicts if _alike(record, of)), None)


def _row(of: Capability, record: Record) -> list[str]:
    revival = next((e for e in of.evidence if e.tool == "revival"), None)
    return [
        of.method.rpartition(":")[2].replace("_", " "),
        number(float(of.protocol["c_tr"])),
        *(_accuracy(record, name) for name in ("O_FT.c_te1", "O_FT.c_te0", "O_PT.c_te0")),
        f"{state(of)} ({by_seed(of)})",
        "" if revival is None or revival.value is None else f"{revival.bound}{number(revival.value)}",
        "" if of.collateral is None else _interval(of.collateral.per_seed.values(), "share"),
    ]


def _alike(record: Record, of: Capability) -> bool:
    return all(record.protocol.get(name) == value for name, value in of.protocol.items())


def _accuracy(record: Record, name: str) -> str:
    of = [m for m in record.measurements if m.name == f"tuned.{name}"]
    return _interval([m.value for m in of], of[0].unit if of else "", n=of[0].n if of else 0)


def _interval(values: Iterable[float | None], kind: str, n: int = 0) -> str:
    """The mean over seeds, with its 95 % interval."""
    known = [value for value in values if value is not None]
    found = estimate(Effect(known, kind=kind, n=n)) if known else None
    if found is None:
        return ""
    low, high = found.interval()
    return f"{number(found.value)} [{number(low)}, {number(high)}]"


if __name__ == "__main__":
    sys.exit(main())
