"""How cost grows: `python benchmarks/growth.py OUT.json`. Models, training steps, blocks and tests, doubled three times each.

Prints a table of seconds with the exponent of a power law (1: linear) and its standard error, and writes it as JSON. One thread.
For tests, the time of a run with a single one, mostly imports, is subtracted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from speed.fitting import Exponent, exponent
from speed.machine import machine
from speed.rounds import interleaved
from speed.rows import fitted
from speed.steps import Setup
from tabulate import tabulate

from capbench.models.gpt import Gpt
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Initialise
from capbench.store.files import write_whole
from capbench.store.store import Store
from capbench.studies.pcfg.preset import small, smoke
from capbench.training.loop import fit

Cost = Callable[[int], Callable[[], object]]  # size -> the work of that size
DOUBLINGS = (1, 2, 4, 8)
_SUITE = '''
import pytest
from capbench.verdicts.claims import at_least
from capbench.studies.judge import Case
from capbench.studies.lab import Bench
from capbench.results import Measurement

def needs(study, seed, case):
    return {"start": study.initialised(seed)}

def size(bench, start):
    weights = sum(p.numel() for p in start.model.parameters())
    yield Measurement(name="size", value=weights, unit="", n=1, seed=bench.seed, note="")

@pytest.mark.claim("growth", source="Fig. 0", needs=needs, uses_method=False)
@pytest.mark.parametrize("case", [Case(number=i) for i in range(TESTS)], ids=str)
def test_growth(judge):
    """A model that is there has weights."""
    judge.measure((size, ["start"]))
    judge.decide(at_least(judge["size"], 1, "weights"))
'''


def models(folder: Path) -> Cost:
    """Plan a number of models, see which are missing, make and store them (initialised ones: nothing is trained)."""
    config, runs = smoke().model(smoke().setting), iter(range(10**6))

    def of(number: int) -> Callable[[], object]:
        def work() -> None:
            store = Store(folder / f"models-{next(runs)}")
            plan = Plan(
                Initialise(architecture="capbench.models.gpt:Gpt", model=config, seed=seed) for seed in range(number)
            )
            if errors := plan.run(store, jobs=1):
                raise RuntimeError(next(iter(errors.values())))
            if Plan(plan.steps.values()).missing(store):
                raise RuntimeError("models that were made are missing")

        return work

    return of


def steps(number: int) -> Callable[[], object]:
    """Training steps of a model of scale smoke, data drawn before."""
    return Setup.of(smoke(), steps=number).ours()


def blocks(number: int) -> Callable[[], object]:
    """Two training steps of a model of the small scale's width with this many blocks."""
    setup = Setup.of(dataclasses.replace(small(), n_blocks=number), steps=2)
    model = Gpt.initialised(setup.model, torch.Generator().manual_seed(0))
    return lambda: fit(model, setup.task, setup.train)


def tests(folder: Path) -> Cost:
    """A whole run of a number of claims on a cache that holds all that they need, three seeds."""

    def of(number: int) -> Callable[[], object]:
        suite = folder / f"test_growth_{number}.py"
        suite.write_text(_SUITE.replace("TESTS", str(number)))
        (folder / "pytest.ini").write_text("[pytest]\n")
        options = ["--capbench-cache=cache", "--capbench-jobs=1", "-q", "-p", "no:cacheprovider"]

        def work() -> None:
            command = [sys.executable, "-m", "pytest", suite.name, *options]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{number} tests: {done.stdout[-500:]}{done.stderr[-500:]}")

        return work

    return of


def grown(
    cost: Cost, sizes: Sequence[int], *, rounds: int, base: int | None = None
) -> tuple[list[list[float]], Exponent]:
    """Seconds at every size, round by round, and how they grow. base: a size whose median is subtracted from all."""
    works = {size: cost(size) for size in ([] if base is None else [base]) + list(sizes)}
    found = interleaved({str(size): work for size, work in works.items()}, rounds=rounds)
    least = min(found[str(base)]) if base is not None else 0.0
    seconds = [[max(s - least, 1e-4) for s in found[str(size)]] for size in sizes]
    return seconds, exponent(sizes, seconds)


def measure(folder: Path, *, quick: bool = False) -> list[dict[str, object]]:
    """All four. quick: sizes and rounds that only show that it works."""
    rounds = 1 if quick else 5
    plans: Mapping[str, tuple[Cost, int, int | None, int]] = {
        "models (plan and store)": (models(folder), 1 if quick else 10, None, rounds),
        "training steps": (steps, 1 if quick else 10, None, rounds),
        "blocks": (blocks, 1, None, rounds),
        "tests (warm cache)": (tests(folder), 1 if quick else 25, 1, 1 if quick else 2),
    }
    found: list[dict[str, object]] = []
    for name, (cost, first, base, rounds_) in plans.items():
        if quick and base is not None:  # whole runs of pytest: too long for a test of this
            continue
        sizes = [first * n for n in DOUBLINGS]
        seconds, power = grown(cost, sizes, rounds=rounds_, base=base)
        found.append({"what": name, "sizes": sizes, "seconds": seconds, **dataclasses.asdict(power)})
    return found


def table(found: Sequence[Mapping[str, object]]) -> str:
    """What is printed: the medians, the exponent and its standard error."""
    lines = []
    for one in found:
        sizes, seconds = one["sizes"], one["seconds"]
        assert isinstance(sizes, list) and isinstance(seconds, list)
        medians = [f"{size}: {sorted(its)[len(its) // 2]:.3g} s" for size, its in zip(sizes, seconds, strict=True)]
        lines.append([one["what"], *medians, f"{one['value']:.2f} ± {one['error']:.2f}"])
    return tabulate(lines, headers=["cost of", "size: seconds", "x 2", "x 4", "x 8", "exponent"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How the cost of models, steps, blocks and tests grows.")
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, without tests: shows only that it works")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    here = machine()  # now: the commit may be another one when all is measured
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), quick=given.quick)
    rows = [
        fitted("growth", f"exponent of the cost of {one['what']}", float(str(one["value"])), float(str(one["error"])))
        for one in found
    ]
    write_whole(given.out, json.dumps({"machine": here, "rows": rows, "growth": found}, indent=1) + "\n")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
