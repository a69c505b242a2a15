"""What a store of many small artefacts does: insert, look up, list, measure, verify, take out. No torch.

    python benchmarks/large_store.py [--artefacts=100000] [--folder=FOLDER]

The artefacts are written as the store writes them, but without waiting for the disk after each: what one `put` costs is measured
on some of them. Times are of a warm file cache.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from capbench.store.housekeeping import entries, prune
from capbench.store.keys import canonical, key_of, sha256
from capbench.store.store import FORMAT, META, TENSORS, Content, Store

_TENSORS = (
    b'X\x00\x00\x00\x00\x00\x00\x00{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + b" " * 36 + b"\x00" * 4
)
_ASKED = 1000  # look-ups and inserts that are timed


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


def timed(rows: list[list[object]], what: str, do: Callable[[], object], times: int = 1) -> None:
    began = time.perf_counter()
    for _ in range(times):
        do()
    seconds = (time.perf_counter() - began) / times
    rows.append([what, f"{1000 * seconds:.3f} ms" if seconds < 0.1 else f"{seconds:.2f} s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artefacts", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        store = Store(folder)
        began = time.perf_counter()
        keys = filled(store.root, given.artefacts)
        print(f"{len(keys)} artefacts written in {time.perf_counter() - began:.0f} s")
        asked = iter(random.Random(0).choices(keys, k=3 * _ASKED))
        absent, fresh = (iter([key_of({what: i}) for i in range(_ASKED)]) for what in ("absent", "fresh"))
        rows: list[list[object]] = []
        timed(rows, "look up one that is there", lambda: store.has(next(asked)), _ASKED)
        timed(rows, "look up one that is not there", lambda: store.has(next(absent)), _ASKED)
        timed(rows, "read and check one's metadata", lambda: store.meta(next(asked)), _ASKED)
        timed(rows, "insert one, durably", lambda: store.put(key := next(fresh), content(key)), _ASKED // 10)
        timed(rows, "list all", lambda: sum(1 for _ in entries(store)))
        for command in ("size", "ls", "verify"):
            timed(rows, f"capbench cache {command}, a process of its own", lambda c=command: run(c, store))
        timed(rows, "what could be removed (all needed: none)", lambda: prune(store, older_than=24 * 3600))
        timed(rows, "remove all", lambda: prune(store, older_than=0))
        assert not any(entries(store))
    print(tabulate(rows, headers=["", "time"], colalign=("left", "right")))


def run(command: str, store: Store) -> None:
    subprocess.run(
        ["capbench", "cache", command, "--cache", str(store.root)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
