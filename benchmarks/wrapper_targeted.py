"""Fine-tuning only where the wrapper sits, beside the same effort elsewhere: equal steps, about equally many trained numbers.

    python benchmarks/wrapper_targeted.py rates [--seed 100] [--cache DIR]
    pytest suites/verdict/test_trained.py -k "weak and medium" --capbench-seeds=5 --capbench-report=out/ \\
      $(for f in all_weights low_rank rows rows_elsewhere adapter adapter_elsewhere surgery; do
      echo --capbench-method=benchmarks/wrapper_targeted.py:$f; done)
    python benchmarks/wrapper_targeted.py table out/RUN

About 4 100 numbers train, of the 100 000 in the blocks: a low-rank change of rank 2 in all maps, one of rank 4 in the maps of one
of the two blocks, or 48 rows (64 or 256 numbers each, 85 on average). A low-rank update is scaled by 4. All take as many steps;
what looks for a place spends a quarter of them on that, also where it then trains elsewhere. `surgery` and `all_weights`, full
fine-tuning, train all numbers: they are compared at equal steps alone. `surgery` also trains on the other families, which the
others do not see.

Each rate is chosen from 1, 3, 10, 30 and 100 times the study's, on a seed that is not reported: the one with the highest accuracy
on O_FT at C_Te 0 after C_Tr 0; of several, the lowest. `rates` shows them, LR_FACTOR holds what was chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from capbench.configs import TrainConfig
from capbench.errors import CapbenchError, UsageError
from capbench.measure.accuracy import accuracy, sample
from capbench.methods.deletion.wrapper_surgery import wrapper_surgery
from capbench.methods.finetuning.full import full
from capbench.methods.finetuning.lora import lora
from capbench.methods.finetuning.wrapper_adapter import wrapper_adapter
from capbench.methods.finetuning.wrapper_rows import wrapper_rows
from capbench.methods.specs.registry import find
from capbench.models.base import Model
from capbench.pipeline.build import build, load_model
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.plan import Plan
from capbench.report import load
from capbench.report.markdown import table
from capbench.report.words import by_seed, number, state
from capbench.results import Capability, Record, Results
from capbench.store.store import Store, default_root
from capbench.studies.pcfg.factory import counter
from capbench.studies.seeds import subseed
from capbench.tasks.finetuning import FineTuningTask
from capbench.verdicts.effects import Effect
from capbench.verdicts.statistics import estimate

RANK, ALL_RANK, ROWS = 4, 2, 48
FACTORS = (1.0, 3.0, 10.0, 30.0, 100.0)
LR_FACTOR = {
    "all_weights": 1.0,
    "low_rank": 10.0,
    "rows": 10.0,
    "rows_elsewhere": 10.0,
    "adapter": 10.0,
    "adapter_elsewhere": 10.0,
    "surgery": 1.0,
}
HEAD = (
    *("method", "C_Tr", "O_FT at C_Te 1", "O_FT at C_Te 0", "O_PT at C_Te 0"),
    *("least kept of the rest", "state", "revival"),
)


def all_weights(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["all_weights"]
) -> Model:
    """Full fine-tuning."""
    return full(model, task, replace(config, lr=lr_factor * config.lr))


def low_rank(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["low_rank"]
) -> Model:
    """LoRA in all linear maps."""
    return lora(model, task, config, rank=ALL_RANK, alpha=4 * ALL_RANK, lr_factor=lr_factor)


def rows(model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["rows"]) -> Model:
    """The rows that pruning points at."""
    return wrapper_rows(model, task, config, neurons=ROWS, lr_factor=lr_factor)


def rows_elsewhere(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["rows_elsewhere"]
) -> Model:
    """As many others of the same maps."""
    return wrapper_rows(model, task, config, neurons=ROWS, lr_factor=lr_factor, by="elsewhere")


def adapter(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["adapter"]
) -> Model:
    """LoRA in the block in which O_PT goes."""
    return wrapper_adapter(model, task, config, rank=RANK, alpha=4 * RANK, lr_factor=lr_factor)


def adapter_elsewhere(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["adapter_elsewhere"]
) -> Model:
    """LoRA in the other block."""
    return wrapper_adapter(model, task, config, rank=RANK, alpha=4 * RANK, lr_factor=lr_factor, by="elsewhere")


def surgery(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = LR_FACTOR["surgery"]
) -> Model:
    """Fine-tune, zero what carries O_PT below the wrapper, train that again."""
    return wrapper_surgery(model, task, replace(config, lr=lr_factor * config.lr), neurons=ROWS)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Choose the rates of the methods in this file, or tell a run of them.")
    commands = parser.add_subparsers(dest="command", required=True)
    of_rates = commands.add_parser("rates", help="accuracy on O_FT by rate, of each method")
    of_rates.add_argument("--seed", type=int, default=100, metavar="N", help="one that is not reported (default: 100)")
    of_rates.add_argument("--scale", default="small", help="smoke, small or paper (default: small)")
    of_rates.add_argument("--cache", metavar="DIR", help="where models are kept (default: the user's cache)")
    of_run = commands.add_parser("table", help="a table of a run")
    of_run.add_argument("run", type=Path, metavar="RUN", help="the folder of its report")
    given = parser.parse_args(argv)
    try:
        if given.command == "table":
            print(shown(load(given.run)))
        else:
            limit_threads()
            print(rates(Store(default_root(given.cache)), given.scale, given.seed))
    except (CapbenchError, OSError) as error:
        print(f"wrapper_targeted.py: {error}", file=sys.stderr)
        return 2
    return 0


def rates(store: Store, scale: str, seed: int) -> str:
    """A row for each method: accuracy on O_FT at C_Te 0 after C_Tr 0, by the factor of its rate; and the factor that is best."""
    found = []
    for name in LR_FACTOR:
        by_factor = [_learned(store, scale, seed, name, factor) for factor in FACTORS]
        best = max(zip(by_factor, (-f for f in FACTORS), strict=True))
        found.append([name.replace("_", " "), *map(number, by_factor), number(-best[1])])
    return table(("method", *(f"{number(factor)} x" for factor in FACTORS), "chosen"), found, numbers_from=1)


def _learned(store: Store, scale: str, seed: int, name: str, factor: float) -> float:
    method = find(f"{Path(__file__).resolve()}:{name}", arguments=(("lr_factor", factor),))
    study = counter(scale=scale, method=method, device="cpu", precision="float32")
    step = study.finetuned(seed, prior="low", c_tr=0, lr="medium")
    for each in Plan([step]).steps.values():
        build(each, store)
    _, o_ft = study.operands
    task = study.evaluation(o_ft, c_te=0, split="select")
    return accuracy(load_model(step, store), task, sample(task, study.preset.n_evaluate, subseed(seed, "rates")))


def shown(results: Results) -> str:
    """A row for each method and C_Tr, in the order of C_Tr; then what a place gains over elsewhere, seed by seed."""
    found = [(each, record) for each in results.capabilities if (record := _verdict(results, each)) is not None]
    if not found:
        raise UsageError("it has no claim `verdict` on a model with a C_Tr")
    found.sort(key=lambda pair: -float(pair[0].protocol["c_tr"]))
    scale = results.run.scale
    rows = [_row(*pair, scale) for pair in found]
    by_name = {(_name(of), of.protocol["c_tr"]): (of, record) for of, record in found}
    for (name, c_tr), pair in by_name.items():
        if elsewhere := by_name.get((f"{name} elsewhere", c_tr)):
            rows.append(_difference(pair, elsewhere, scale))
    return table(HEAD, rows, numbers_from=99)


def _verdict(results: Results, of: Capability) -> Record | None:
    """The record of the claim on a model."""
    of_verdicts = (
        r for r in results.records if r.claim == "verdict" and r.method == of.method and "c_tr" in r.protocol
    )
    return next((record for record in of_verdicts if _alike(record, of)), None)


def _row(of: Capability, record: Record, scale: str) -> list[str]:
    revival = next((e for e in of.evidence if e.tool == "revival"), None)
    return [
        _name(of),
        number(float(of.protocol["c_tr"])),
        *(_interval(effect.values(), effect_kind, scale, n) for effect, effect_kind, n in _figures(of, record)),
        f"{state(of)} ({by_seed(of)})",
        "" if revival is None or revival.value is None else f"{revival.bound}{number(revival.value)}",
    ]


def _difference(here: tuple[Capability, Record], elsewhere: tuple[Capability, Record], scale: str) -> list[str]:
    cells = []
    for (a, _, n), (b, _, _) in zip(_figures(*here), _figures(*elsewhere), strict=True):
        by_both = [x - y for seed, x in a.items() if x is not None and (y := b.get(seed)) is not None]
        cells.append(_interval(by_both, "difference", scale, n))
    c_tr = number(float(here[0].protocol["c_tr"]))
    return [f"{_name(here[0])} - elsewhere", c_tr, *cells, "", ""]


def _name(of: Capability) -> str:
    return of.method.rpartition(":")[2].replace("_", " ")


def _alike(record: Record, of: Capability) -> bool:
    return all(record.protocol.get(name) == value for name, value in of.protocol.items())


def _figures(of: Capability, record: Record) -> list[tuple[Mapping[int, float | None], str, int]]:
    """Of each column with an interval: by seed, with its kind and number of strings."""
    found: list[tuple[Mapping[int, float | None], str, int]] = []
    for name in ("O_FT.c_te1", "O_FT.c_te0", "O_PT.c_te0"):
        read = [m for m in record.measurements if m.name == f"tuned.{name}"]
        found.append(({m.seed: m.value for m in read}, "accuracy", read[0].n if read else 0))
    return [*found, ({} if of.collateral is None else of.collateral.per_seed, "share", 0)]


def _interval(values: Iterable[float | None], kind: str, scale: str, n: int) -> str:
    """The mean over seeds, with its 95 % interval."""
    known = [value for value in values if value is not None]
    found = estimate(Effect(known, kind=kind, scale=scale, n=n)) if known else None
    if found is None:
        return ""
    low, high = found.interval()
    return f"{number(found.value)} [{number(low)}, {number(high)}]"


if __name__ == "__main__":
    sys.exit(main())
