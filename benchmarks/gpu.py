"""All GPU figures in one call of under 8 minutes: `python benchmarks/gpu.py OUT.json`.

Every part runs in its own process with a time limit, and the file is written after every row: what fails or takes too long
costs only itself. `--device cpu --quick` runs the same code on tiny sizes in this process, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from speed.gpu_figures import FIGURES, Scale
from speed.machine import machine

from capbench.store.files import write_whole

WHOLE = 470  # seconds, of all parts together


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="All GPU figures, as JSON.")
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, in this process: shows only that it works")
    parser.add_argument("--part", choices=[*FIGURES], help="only this part, in this process, added to the file")
    given = parser.parse_args(argv)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        return refused("this machine has no CUDA device; '--device cpu --quick' checks that the code works")
    if given.device == "cpu" and not given.quick:
        return refused("on a CPU these figures mean nothing; add --quick to check that the code works")
    if given.part:
        add_part(given.part, given.out, given.device, quick=given.quick)
        return 0
    gpu = torch.cuda.get_device_name() if given.device.startswith("cuda") else ""
    write(given.out, {"machine": machine(gpu=gpu), "rows": [], "missing": {}})
    began = time.monotonic()
    for part, (_, limit) in FIGURES.items():
        if given.quick:
            add_part(part, given.out, given.device, quick=True)
        elif why := in_own_process(part, given.out, given.device, min(limit, began + WHOLE - time.monotonic())):
            found = json.loads(given.out.read_text())
            found["missing"][part] = why
            write(given.out, found)
    for line in json.loads(given.out.read_text())["rows"]:
        print(f"{line['what']}: {line['value']:g} {line['unit']}")
    return 0


def in_own_process(part: str, out: Path, device: str, limit: float) -> str:
    """Why the part is not complete, or nothing."""
    if limit < 1:
        return "no time left"
    command = [sys.executable, __file__, str(out), "--device", device, "--part", part]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"took longer than {limit:.0f} s"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def add_part(part: str, out: Path, device: str, *, quick: bool) -> None:
    """Measure a part, adding every row to the file as it comes."""
    scale = Scale.tiny(device) if quick else Scale.full(device)
    found: dict[str, Any] = json.loads(out.read_text())
    for row in FIGURES[part][0](scale):
        found["rows"].append(row)
        write(out, found)


def write(out: Path, found: dict[str, Any]) -> None:
    """Whole or not at all: a part may be stopped at any moment."""
    write_whole(out, json.dumps(found, indent=1) + "\n")


def refused(why: str) -> int:
    print(f"gpu.py: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
