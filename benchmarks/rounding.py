"""How far rounding alone moves figures: `python benchmarks/rounding.py A B [A B ...]`, pairs of run folders of the same seeds.

The two runs of a pair must differ in rounding only: another number of threads, another torch, `--capbench-stack`. Writes
capbench/verdicts/rounding.json, by which `capbench compare` tells a change from rounding. The kept file comes from the reference
run before and after the attention was computed in blocks, which rounds differently, with all models made anew:

    for commit in 06e713b 31006d2; do
        mkdir -p /tmp/rounding/$commit
        git show $commit:reports/reference/small-core/results.json > /tmp/rounding/$commit/results.json
    done
    python benchmarks/rounding.py /tmp/rounding/06e713b /tmp/rounding/31006d2
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from capbench.compare.noise import noise
from capbench.report.write import load
from capbench.verdicts.rounding import FILE


def main(folders: list[str]) -> None:
    if not folders or len(folders) % 2:
        raise SystemExit(__doc__)
    runs = [load(Path(folder)) for folder in folders]
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    kinds = {kind: {what: _short(n) for what, n in numbers.items()} for kind, numbers in noise(pairs).items()}
    told = [[{"run": r.run.run_id, "scale": r.run.scale, "seeds": list(r.run.seeds)} for r in pair] for pair in pairs]
    command = " ".join(["python", "benchmarks/rounding.py", *folders])
    FILE.write_text(json.dumps({"command": command, "runs": told, "kinds": kinds}, indent=1) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"), end="")


def _short(number: float) -> float:
    return number if isinstance(number, int) else float(f"{number:.4g}")


if __name__ == "__main__":
    main(sys.argv[1:])
