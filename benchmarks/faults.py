"""Do results survive? `python benchmarks/faults.py`: runs that are killed, damaged, crowded, out of space, at the wrong time.

A small suite, with a built-in method and a user's file, is run undisturbed; then again and again with a fault, each time followed
by a run without. That run must come to the same claims, values and weights, to the bit, compute nothing again that was there, and
leave nothing behind. Prints what is wrong, and writes benchmarks/results/faults.json, which table.py takes. Takes half an hour.

Runs are forked from this process, which has the libraries imported: faults hit work, not imports. Trainings are saved every 0.05
seconds. Exit code: 0 nothing is wrong; 1 something is; 2 a mistake on the command line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from campaign import runs
from campaign.trials import KINDS, Campaign, NotAllowedError, Trial
from speed.machine import machine
from speed.rows import Row, row

from capbench.store.files import write_whole

OUT = Path(__file__).parent / "results" / "faults.json"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A campaign of faults, with runs of a small suite.")
    parser.add_argument(
        "--trials", type=int, default=100, metavar="N", help="kills, and flipped bits; others fewer (100)"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, metavar="M", help="begin no trial later than that")
    parser.add_argument("--only", metavar="WORDS", default="", help="kinds of trials whose names hold these words")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and bits (0)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="OUT.json")
    given = parser.parse_args(argv)
    kinds = {name: kind for name, kind in KINDS.items() if given.only in name}
    if given.trials < 1 or not kinds:
        why = (
            f"--trials={given.trials}: must be at least 1" if kinds else f"--only={given.only!r}: one of {list(KINDS)}"
        )
        print(f"faults.py: {why}", file=sys.stderr)
        return 2
    here, began = machine(), time.monotonic()  # now: the commit may be another one at the end
    os.environ["OMP_NUM_THREADS"] = "1"  # this process is forked: torch must have no threads
    runs.imported()
    found: dict[str, list[Trial]] = defaultdict(list)
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        campaign = Campaign(Path(folder), random.Random(given.seed))
        for name in in_turn({name: math.ceil(share * given.trials) for name, (share, _) in kinds.items()}):
            if name in missing or time.monotonic() - began > 60 * given.minutes:
                continue
            try:
                found[name].append(kinds[name][1](campaign))
            except NotAllowedError as error:
                missing[name] = str(error)
                continue
            except Exception as error:  # the others go on
                found[name].append(Trial(wrong=[f"the trial itself failed: {error!r}"]))
            for line in found[name][-1].wrong:
                print(f"{name}, trial {len(found[name])}: {line}", flush=True)
    found = {name: found[name] for name in kinds if name in found}
    for name, trials in found.items():
        print(f"{name}: {sum(bool(one.wrong) for one in trials)} of {len(trials)} trials ended wrong")
    for name, why in missing.items():
        print(f"{name}: not tried: {why}")
    about = {
        "trials": {name: [vars(one) for one in trials if one.wrong] for name, trials in found.items()},
        "where": {name: Counter(one.where for one in trials if one.where) for name, trials in found.items()},
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    content = {"machine": here, "rows": rows(found), "missing": missing, "faults": about}
    write_whole(given.out, json.dumps(content, indent=1) + "\n")
    return 1 if any(one.wrong for trials in found.values() for one in trials) else 0


def in_turn(numbers: dict[str, int]) -> list[str]:
    """Each name so many times, spread evenly: a campaign that is cut short has some of everything."""
    spread = [((i + 0.5) / number, name) for name, number in numbers.items() for i in range(number)]
    return [name for _, name in sorted(spread)]


def rows(found: dict[str, list[Trial]]) -> list[Row]:
    """How many trials of each kind ended wrong, and how many training steps were done twice after a kill."""
    lines = []
    for name, trials in found.items():
        if trials:
            wrong = sum(bool(one.wrong) for one in trials)
            lines.append(row("faults", f"{name}: ended wrong", [wrong], f"of {len(trials)}", aim="0"))
        if twice := [one.repeated for one in trials if "kill" in name and one.where.startswith("training")]:
            lines.append(row("faults", f"{name}, in training: steps done twice", twice, "steps"))
    return lines


if __name__ == "__main__":
    sys.exit(main())
