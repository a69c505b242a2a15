"""`capbench plan --simulate` against real runs: one core, two cores, and two nodes of a Ray cluster on this machine.

    python benchmarks/simulated.py OUT.json [SUITE ...] [--seeds=N] [--folder=FOLDER]

Each way makes the models of the suites (by default suites/pcfg) at scale smoke in a cache of its own. Then it is simulated: with
the times that it took itself, which tells what is wrong with the schedule, and with those of the run on one core, which is what a
user can know beforehand. With --folder, caches stay there, and nothing is made again.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speed.machine import machine
from speed.rows import Row, row

from capbench.store.files import write_whole

_CAPBENCH = (sys.executable, "-c", "import sys\nfrom capbench.cli.main import main\nsys.exit(main(sys.argv[1:]))")
_MADE_IN = re.compile(r"^capbench: .*models made in (\d+) s", re.MULTILINE)


@contextmanager
def two_nodes() -> Iterator[tuple[str, ...]]:
    """A Ray cluster of two nodes of one core each, as long as the block lasts; the options that use it."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        yield "--executor=ray", f"--address={cluster.address}"
    finally:
        cluster.shutdown()


@dataclass(frozen=True, kw_only=True)
class Way:
    """make: gives the options of `capbench train`, as long as its block lasts. supposed: those of the simulation."""

    name: str
    make: Callable[[], Any]
    supposed: tuple[str, ...]


WAYS = (
    Way(name="1 core", make=lambda: nullcontext(("--jobs=1",)), supposed=("--cores=1",)),
    Way(name="2 cores", make=lambda: nullcontext(("--jobs=2",)), supposed=("--cores=2",)),
    Way(name="2 Ray nodes of 1 core", make=two_nodes, supposed=("--nodes=2", "--cores=1")),
)


def seconds_made(said: str) -> int:
    """Seconds that `capbench train` spent on making models, from what it printed. Raises ValueError if it made none."""
    if not (found := _MADE_IN.findall(said)):
        raise ValueError(f"no models were made: {said[-500:]!r}")
    return sum(map(int, found))


def capbench(*words: str) -> str:
    """What the command prints. Raises RuntimeError with its errors if it fails."""
    ended = subprocess.run([*_CAPBENCH, *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"capbench {' '.join(words)}: {ended.stdout[-500:]}{ended.stderr[-1000:]}")
    return ended.stdout


def rows_of(way: Way, made: float, own: float, before: float, models: int) -> list[Row]:
    """made: seconds that it took. own, before: simulated, with its own times and with those that were known beforehand."""
    what = f"{models} models, {way.name}"
    return [
        row("simulation", f"{what}: made in", [made], "s"),
        row("simulation", f"{what}: simulated with its own times, share of that", [100 * own / made], "%"),
        row("simulation", f"{what}: simulated with the times of 1 core, share of that", [100 * before / made], "%"),
    ]


def measure(folder: Path, asked: Sequence[str]) -> list[Row]:
    """The rows of all ways, printed as they come. asked: suites and options, for both commands."""
    found: list[Row] = []
    for way in WAYS:
        cache = folder / way.name.replace(" ", "-")
        made = folder / f"{cache.name}.seconds"
        if not made.exists():
            with way.make() as options:
                seconds = seconds_made(capbench("train", *asked, "--scale=smoke", f"--cache={cache}", *options))
            made.write_text(str(seconds))

        def simulated(cache: Path, supposed: tuple[str, ...] = way.supposed) -> Any:
            options = ("--scale=smoke", "--simulate", "--empty-cache", "--format=json", f"--cache={cache}")
            return json.loads(capbench("plan", *asked, *options, *supposed))

        own, before = simulated(cache), simulated(folder / WAYS[0].name.replace(" ", "-"))
        if own["models"]["unknown_time"]:
            raise RuntimeError(f"{way.name}: the time of {own['models']['unknown_time']} models is not known")
        more = rows_of(way, float(made.read_text()), own["seconds"], before["seconds"], own["models"]["missing"])
        for each in more:
            print(f"{each['what']}: {each['value']} {each['unit']}", flush=True)
        found += more
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Simulated runs against real ones.")
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("suites", nargs="*", default=["suites/pcfg"], metavar="SUITE")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep the caches there")
    given = parser.parse_args(argv)
    here = machine()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(given.folder or Path(temporary), [*given.suites, f"--seeds={given.seeds}"])
    write_whole(given.out, json.dumps({"machine": here, "rows": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
