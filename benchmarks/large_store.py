"""What a store of many small artefacts does: insert, look up, list, measure, verify, prune. No torch.

    python benchmarks/large_store.py [OUT.json] [--artefacts=100000] [--folder=FOLDER]

The artefacts are written as the store writes them, but without waiting for the disk after each: what one `put` costs is measured
on some of them. Times are of a warm file cache. Beside a time stands that of the processor, as other work may keep a command
waiting. Pruning is interrupted once, while this process needs some of the artefacts; what is left is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from speed.machine import machine
from speed.rows import Row, row
from tabulate import tabulate

from capbench.store.files import write_whole
from capbench.store.housekeeping import entries
from capbench.store.keys import canonical, key_of, sha256
from capbench.store.leases import hold
from capbench.store.store import FORMAT, META, TENSORS, Content, Store

_TENSORS = (
    b'X\x00\x00\x00\x00\x00\x00\x00{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + b" " * 36 + b"\x00" * 4
)
_ASKED = 1000  # look-ups and inserts that are timed
_OLD, _HELD = 3000, 500  # artefacts that are pruned, and those of them that a running job needs
_DAY = 24 * 3600
_COMMAND = (
    sys.executable,
    "-c",
    "import sys\nfrom capbench.cli.main import main\nsys.exit(main(sys.argv[1:]))",
    "cache",
)


def content(key: str) -> Content:
    """A small artefact, as `Store.content` gives it."""
    document = {"format": FORMAT, "key": key, "kind": "Revive", "config": {"code": "0" * 16}, "created": "", "meta": {}}
    document["tensors_sha256"] = sha256(_TENSORS)
    document["meta_sha256"] = sha256(canonical(document))
    return Content(meta=canonical(document), tensors=_TENSORS)


def filled(root: Path, n: int) -> list[str]:
    """The keys of n artefacts below a store's root."""
    keys = [key_of({"number": i}) for i in range(n)]
    for key in keys:
        place, found = root / "artefacts" / key[:2] / key, content(key)
        place.mkdir(parents=True)
        (place / TENSORS).write_bytes(found.tensors)
        (place / META).write_bytes(found.meta)
    return keys


class Timed:
    """Rows of what was timed. n: artefacts in the store."""

    def __init__(self, n: int) -> None:
        self.rows: list[Row] = []
        self._n = n

    def each(self, what: str, do: Callable[[], object], times: int, *, aim: str = "") -> None:
        """In milliseconds, so many calls one by one."""
        found = []
        for _ in range(times):
            began = time.perf_counter()
            do()
            found.append(1000 * (time.perf_counter() - began))
        self._add(what, found, "ms", aim)

    def once(self, what: str, do: Callable[[], object], *, aim: str = "") -> None:
        """In seconds: by the clock, and of the processor, that of child processes too. The aim is that of the latter: the clock
        tells of whatever else the machine does, too.
        """
        began, used = time.perf_counter(), _processor()
        do()
        self._add(what, [time.perf_counter() - began], "s", "")
        self._add(f"{what}: of the processor", [_processor() - used], "s", aim)

    def _add(self, what: str, values: list[float], unit: str, aim: str) -> None:
        self.rows.append(row("store", f"{self._n} artefacts: {what}", values, unit, aim=aim))
        print(f"{what}: {self.rows[-1]['value']} {unit}", flush=True)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(store: Store, n: int) -> list[Row]:
    """Everything, on a store that is filled and emptied again."""
    timed = Timed(n)
    began = time.perf_counter()
    keys = filled(store.root, n)
    print(f"{n} artefacts written in {time.perf_counter() - began:.0f} s", flush=True)
    asked = iter(random.Random(0).choices(keys, k=3 * _ASKED))
    absent, fresh = (iter([key_of({what: i}) for i in range(_ASKED)]) for what in ("absent", "fresh"))
    timed.each("look up one that is there", lambda: store.has(next(asked)), _ASKED, aim="<= 1 ms")
    timed.each("look up one that is not there", lambda: store.has(next(absent)), _ASKED, aim="<= 1 ms")
    timed.each("read and check one's metadata", lambda: store.meta(next(asked)), _ASKED)
    timed.each("insert one, durably", lambda: store.put(key := next(fresh), content(key)), _ASKED // 10)
    timed.once("list all", lambda: sum(1 for _ in entries(store)))
    timed.once("`capbench cache size`", lambda: run("size", store), aim="<= 5 s")
    timed.once("`capbench cache ls`", lambda: run("ls", store))
    timed.once("`capbench cache verify`", lambda: run("verify", store))
    old, held = keys[:_OLD], keys[:_HELD]
    hold(store, held)
    for key in old:
        os.utime(store.root / "artefacts" / key[:2] / key, (time.time() - 40 * _DAY,) * 2)
    interrupted(store, old, held)
    left = sum(map(store.has, old)) - _HELD
    timed.once(f"`capbench cache prune` takes out {left}, one by one", lambda: run("prune", store, "--older-than=30d"))
    if not set(old) & {entry.key for entry in entries(store)} == set(held):
        raise RuntimeError("what a running job needs is not what is left")
    return timed.rows


def interrupted(store: Store, old: Sequence[str], held: Sequence[str]) -> None:
    """Begin to take out what is old, and interrupt that. Raises RuntimeError if something is not whole, or needed and gone."""
    before = sum(1 for _ in entries(store))
    options = ("prune", "--older-than=30d", "--cache", str(store.root))
    pruning = subprocess.Popen([*_COMMAND, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while pruning.poll() is None and all(map(store.has, old)):
        time.sleep(0.01)
    pruning.send_signal(signal.SIGINT)
    code = pruning.wait()
    places = sum(1 for shelf in os.scandir(store.root / "artefacts") for _ in os.scandir(shelf.path))
    whole, there = sum(1 for _ in entries(store)), sum(map(store.has, old))
    if code != 130 or not len(held) < there < len(old) or whole != before - (len(old) - there):
        raise RuntimeError(
            f"pruning ended with {code}; {there} of {len(old)} old artefacts are there, {whole} of {before} in all"
        )
    if places != whole or not all(map(store.intact, held)):
        raise RuntimeError(f"{places} artefacts are left, {whole} of them whole")
    print(
        f"interrupted when {len(old) - there} of {len(old)} were gone; all others are whole, {len(held)} in use among them"
    )


def run(command: str, store: Store, *options: str) -> None:
    subprocess.run([*_COMMAND, command, *options, "--cache", str(store.root)], check=True, stdout=subprocess.DEVNULL)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT.json")
    parser.add_argument("--artefacts", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args(argv)
    here = machine()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rows = measure(Store(folder), given.artefacts)
        if given.out:
            write_whole(given.out, json.dumps({"machine": here, "rows": rows}, indent=1) + "\n")
        print(tabulate([(r["what"], f"{r['value']} {r['unit']}", r["aim"]) for r in rows], headers=["", "time", "aim"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
