"""`capbench cache`: what the cache holds, how much room it takes, whether it is whole, and what was not used for long."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.store.store import Store

_COMMANDS = {
    "ls": (
        "list every artefact",
        "List every artefact, the one used last at the top: its key, what it is, its size, and when it was used last.",
    ),
    "size": ("say how much room it takes", "How many artefacts there are, and how much room they and all else take."),
    "prune": (
        "remove what was not used for long",
        "Remove artefacts that were not used for long, and what killed runs left unfinished. What a running job needs stays. "
        "It may be interrupted at any moment, and run beside others.",
    ),
    "verify": (
        "check every file",
        "Read every artefact and check its SHA-256. Those that are damaged are set aside, in damaged/, and made anew when they "
        "are needed. The exit code is 1 if there are any.",
    ),
}


def add(commands: Any) -> None:
    """Add the sub-command, which has sub-commands of its own."""
    parser = commands.add_parser(
        "cache",
        allow_abbrev=False,
        help="list, measure, check or clear the cache",
        description="The cache of models and measurements.",
    )
    parts = parser.add_subparsers(dest="part", metavar="COMMAND", required=True)
    for name, (short, long) in _COMMANDS.items():
        part = parts.add_parser(name, allow_abbrev=False, help=short, description=long)
        declare(part.add_argument, f"cache {name}")
        part.set_defaults(run=_run)


def _run(namespace: argparse.Namespace) -> int:
    from capbench.session.options.cache import cache_shown, opened
    from capbench.store.store import default_root

    given = Given.read(f"cache {namespace.part}", namespace)
    options = given.checked()
    store = opened(default_root(options["cache"]), cache_shown(given))
    carry_out: dict[str, Callable[[Store, dict[str, Any]], int]] = {
        "ls": _ls,
        "size": _size,
        "prune": _prune,
        "verify": _verify,
    }
    return carry_out[namespace.part](store, options)


def _ls(store: Store, options: dict[str, Any]) -> int:
    from capbench.report.words import line
    from capbench.store.housekeeping import entries
    from capbench.store.sizes import shown

    known = dict(store.documents())
    for entry in sorted(entries(store), key=lambda entry: entry.used, reverse=True):
        kind = line(str(known.get(entry.key, {}).get("kind", "?")))
        used = datetime.fromtimestamp(entry.used).isoformat(" ", timespec="minutes")
        print(f"{entry.key}  {kind:<12}{shown(entry.size):>8}  {used}")
    return 0


def _size(store: Store, options: dict[str, Any]) -> int:
    from tabulate import tabulate

    from capbench.store.housekeeping import beside, entries
    from capbench.store.sizes import shown

    sizes = [entry.size for entry in entries(store)]
    others = beside(store)
    rows = [[_counted(len(sizes)), shown(sum(sizes))], *([f"{name}/", shown(n)] for name, n in others.items())]
    print(
        tabulate(
            [*rows, ["all", shown(sum(sizes) + sum(others.values()))]], tablefmt="plain", colalign=("left", "right")
        )
    )
    print(store.root)
    return 0


def _prune(store: Store, options: dict[str, Any]) -> int:
    from capbench.store.housekeeping import prune
    from capbench.store.sizes import shown

    found = prune(store, older_than=options["older-than"], dry_run=options["dry-run"])
    kept = f"; {found.needed} more needed by a running job" if found.needed else ""
    does = "would remove" if options["dry-run"] else "removed"
    print(f"{does} {_counted(found.artefacts)}, {shown(found.size)}{kept}")
    return 0


def _verify(store: Store, options: dict[str, Any]) -> int:
    import warnings

    from capbench.store.housekeeping import entries
    from capbench.store.store import DamagedArtefact

    n = damaged = 0
    for entry in entries(store):
        n += 1
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DamagedArtefact)
            store.intact(entry.key)
        damaged += bool(said)
        for warning in said:
            print(warning.message)
    print(f"{_counted(n)}, {damaged or 'none'} damaged")
    return 1 if damaged else 0


def _counted(n: int) -> str:
    return "1 artefact" if n == 1 else f"{n} artefacts"
