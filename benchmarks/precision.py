"""Does bfloat16 change a verdict? `python benchmarks/precision.py`: the suites in float32 and in bfloat16, claim by claim.

Runs the claims on models that are trained (compiled models always are in float32) as pytest does, once with
`--capbench-precision=float32` and once with `bfloat16`, each with a cache of its own; prints both side by side and writes
benchmarks/results/precision.json, which table.py takes. Started again, it continues where it stopped.

bfloat16 is torch's autocast where the hardware has it, and where it has not, the emulation of speed/emulation.py, which says
what is emulated and what is not. Exit code: 0 no verdict changed; 1 one did; 2 a mistake on the command line or unfinished run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from speed.changes import as_json, changes, rows, text
from speed.machine import has_bfloat16, machine

from capbench.compare.folders import entries
from capbench.errors import UsageError
from capbench.pipeline.cores import available_cores
from capbench.report import load
from capbench.results import Results
from capbench.store.files import write_whole

HERE = Path(__file__).parent
ROOT, OUT = HERE.parent, HERE / "results" / "precision.json"
INTERVALS = ROOT / "reports" / "reference" / "small-core"
ENDED = (0, 1)  # pytest's exit codes of a run that came to its end; 1: a claim is not supported


def main(argv: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(argv)
    # pytest runs in the repository's root, wherever this was called.
    given.cache, given.out = given.cache.resolve(), given.out.resolve()
    given.suites = [_resolved(suite) for suite in given.suites]
    began = time.monotonic()
    try:
        if given.jobs is not None and given.jobs < 1:
            raise UsageError(f"--jobs={given.jobs}: must be a whole number of at least 1")
        if not given.out.parent.is_dir():
            raise UsageError(f"--out={given.out}: there is no such folder")
        way = _way(given.bfloat16, given.device)
        spare = _intervals(given.intervals, given.scale)
        check(given)
        where = machine(gpu=_gpu() if given.device == "cuda" else "")  # with the commit that the runs begin on
        with ThreadPoolExecutor(given.jobs or (1 if given.device == "cuda" else min(2, available_cores()))) as pool:
            both = [pool.submit(run, given, name) for name in ("float32", way)]
            found = changes(*(one.result() for one in both), intervals=spare)
        if not found.claims:
            raise UsageError("none of these claims rests on a model: nothing to compare")
    except UsageError as error:
        print(f"precision.py: {error}", file=sys.stderr)
        return 2
    how = {"bfloat16": "bfloat16", "bfloat16-emulated": "bfloat16 (emulated)"}[way]
    seeds = "1 seed" if given.seeds == "1" else f"{given.seeds} seeds"
    what = f"{how}, {given.scale}, {seeds}" + (f", only {given.k}" if given.k else "")
    about = {
        **{"scale": given.scale, "seeds": given.seeds, "k": given.k, "bfloat16": way, "device": given.device},
        "intervals": spare.run.run_id if spare else None,
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    content = {"machine": where, "rows": rows(found, what), "precision": {**about, **as_json(found)}}
    write_whole(given.out, json.dumps(content, indent=1) + "\n")
    print(f"\n{text(found, ('float32', way))}")
    return 1 if found.changed else 0


def _resolved(suite: Path) -> Path:
    """A suite, or a test in it (file.py::test), as seen from anywhere."""
    path, colons, test = str(suite).partition("::")
    return Path(f"{Path(path).resolve()}{colons}{test}")


def check(given: argparse.Namespace) -> None:
    """Raises UsageError for options that pytest refuses, and where no claim is selected: before anything is trained."""
    asked = [*command(given, "float32"), "--collect-only"]
    done = subprocess.run(asked, cwd=ROOT, env=_env(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
        raise UsageError(f"pytest did not start ({done.returncode}): {''.join(lines[-1:])}")


def run(given: argparse.Namespace, name: str) -> Results:
    """The claims in one precision, in its own process: 'float32', 'bfloat16' or 'bfloat16-emulated'."""
    folder = given.cache / name
    folder.mkdir(parents=True, exist_ok=True)
    log, began = folder / "log.txt", time.monotonic()
    print(f"{name}: begun, its output is in {log}\n", end="", flush=True)
    with log.open("w") as out:
        done = subprocess.run(command(given, name), cwd=ROOT, env=_env(), stdout=out, stderr=out, check=False)
    print(f"{name}: ended after {time.monotonic() - began:.0f} s\n", end="", flush=True)
    if done.returncode not in ENDED:
        last = log.read_text().strip().splitlines()[-1:]
        why = f"the run in {name} stopped with exit code {done.returncode}: {''.join(last)} (full output in '{log}')"
        print(f"{why}\n", end="", file=sys.stderr, flush=True)  # now: the other run may take long yet
        raise UsageError(why)
    newest = entries(folder / "reports")[0]
    if newest.run is None:
        raise UsageError(f"the run in {name} left no results: {newest.problem}")
    return newest.run


def command(given: argparse.Namespace, name: str) -> list[str]:
    """The pytest command of a run. One job: trainings in that very process, where the emulation is."""
    folder, emulated = given.cache / name, name.endswith("-emulated")
    options = {
        "cache": folder / "models",
        "report": folder / "reports",
        "precision": name.removesuffix("-emulated"),
        "scale": given.scale,
        "device": given.device,
        "seeds": given.seeds,
        "jobs": None if given.device == "cuda" else 1,
    }
    return [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *(("-p", "speed.emulation") if emulated else ()),
        *(("-k", given.k) if given.k else ()),
        *(f"--capbench-{option}={value}" for option, value in options.items() if value is not None),
        *map(str, given.suites or trained_suites()),
    ]


def _env() -> dict[str, str]:
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def trained_suites() -> list[Path]:
    """The suites whose models are trained from random weights: all but those of compiled models."""
    return sorted(file for file in (ROOT / "suites").rglob("test_*.py") if not file.name.startswith("test_tracr_"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The suites in float32 and in bfloat16, claim by claim.")
    parser.add_argument(
        "suites", type=Path, nargs="*", metavar="SUITE", help="default: all but those of compiled models"
    )
    parser.add_argument("--scale", default="small")
    parser.add_argument(
        "--seeds", default="1", help="of each claim (1); with 2 or more claims have intervals of their own"
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="only the claims whose id contains this, as in pytest")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--jobs", type=int, help="runs at a time: 2, side by side, each with one thread (on cuda 1)")
    parser.add_argument(
        "--bfloat16",
        choices=("auto", "autocast", "emulated"),
        default="auto",
        help="auto: autocast where there is hardware",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=Path(tempfile.gettempdir()) / "capbench-precision",
        help="where models and reports are kept (capbench-precision below the directory for temporary files)",
    )
    parser.add_argument(
        "--intervals",
        type=Path,
        metavar="RUN",
        help="a run whose intervals are the unit with one seed (the reference run)",
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="OUT.json")
    return parser


def _way(asked: str, device: str) -> str:
    """How bfloat16 is computed: a run's name."""
    if device == "cuda":
        import torch

        if asked == "emulated":
            raise UsageError("--bfloat16=emulated is for the CPU; omit it or --device=cuda")
        if not (torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)):
            raise UsageError("--device=cuda: this machine has no CUDA device with bfloat16")
        return "bfloat16"
    return "bfloat16" if asked == "autocast" or (asked == "auto" and has_bfloat16()) else "bfloat16-emulated"


def _intervals(given: Path | None, scale: str) -> Results | None:
    """The run that gives intervals; the reference run only where it is there and of this scale."""
    if given is None and not (INTERVALS / "results.json").is_file():
        return None
    found = load((given or INTERVALS).resolve())
    if found.run.scale == scale:
        return found
    if given is not None:
        raise UsageError(f"--intervals={given}: that run has scale {found.run.scale}, this one {scale}")
    return None


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name()


if __name__ == "__main__":
    sys.exit(main())
