"""What it costs to call a user's method in a process of its own: `python benchmarks/isolation.py [--calls=N] [--rounds=N]`.

A program fine-tunes the small GPT a few times by full fine-tuning, given as a file of the user's: each call in a process of its
own, as in a run, or all in the program itself. The two take turns. Printed are the seconds of a program, imports included, and
what the processes add to a program and to a call. One training at a time, one thread. Built-in methods have no process of their
own, so that a run without `--capbench-method` pays nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from speed.rounds import interleaved
from tabulate import tabulate

METHOD = """
import copy
from capbench import fit
def tune(model, task, config):
    fit(tuned := copy.deepcopy(model), task, config)
    return tuned
"""
APART, HERE = "in processes of their own", "in the program's process"


def program(method: Path, calls: int, *, apart: bool) -> None:
    """Make so many fine-tunings in an empty store."""
    from capbench.methods.specs.registry import MethodRef, find
    from capbench.pipeline.plan import Plan
    from capbench.pipeline.steps import FineTune, Step
    from capbench.store.store import Store
    from capbench.studies.pcfg.preset import small
    from capbench.studies.pcfg.study import PcfgCounter

    if not apart:
        MethodRef.is_the_users = False  # type: ignore[assignment, method-assign]
    study = PcfgCounter(preset=replace(small(), finetune_steps=30), method=find(f"{method}:tune"))
    steps: list[Step] = []
    for seed in range(calls):
        tuned = study.finetuned(seed, prior="low", c_tr=1.0, lr="small")
        assert isinstance(tuned, FineTune)
        steps.append(replace(tuned, base=study.initialised(seed)))  # what is fine-tuned makes no difference
    with tempfile.TemporaryDirectory() as folder:
        errors = Plan(steps).run(Store(folder), jobs=1)
    assert errors == {}, errors


def main() -> None:
    """Time both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", choices=("apart", "here"), help=argparse.SUPPRESS)
    parser.add_argument("--method", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.program:
        program(given.method, given.calls, apart=given.program == "apart")
        return
    with tempfile.TemporaryDirectory() as folder:
        method = Path(folder) / "mine.py"
        method.write_text(METHOD)

        def run(way: str, calls: int) -> None:
            command = [sys.executable, __file__, f"--program={way}", f"--method={method}", f"--calls={calls}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        found = interleaved(
            {
                APART: lambda: run("apart", given.calls),
                HERE: lambda: run("here", given.calls),
                "one": lambda: run("apart", 1),
                "one here": lambda: run("here", 1),
            },
            rounds=given.rounds,
        )
    more = [a - b for a, b in zip(found[APART], found[HERE], strict=True)]
    first = [a - b for a, b in zip(found["one"], found["one here"], strict=True)]
    rest = [(a - b) / (given.calls - 1) for a, b in zip(more, first, strict=True)]
    rows = [
        (f"{given.calls} calls, {APART}", *_spread(found[APART])),
        (f"{given.calls} calls, {HERE}", *_spread(found[HERE])),
        ("added to that program", *_spread(more)),
        ("added by the first call", *_spread(first)),
        ("added by each further call", *_spread(rest)),
    ]
    print(tabulate(rows, headers=("", "median, s", "lowest", "highest"), tablefmt="github", floatfmt=".2f"))


def _spread(seconds: list[float]) -> tuple[float, float, float]:
    return statistics.median(seconds), min(seconds), max(seconds)


if __name__ == "__main__":
    main()
