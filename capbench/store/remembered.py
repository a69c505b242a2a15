"""What was found out about capbench's own sources, kept from one run to the next beside their bytecode.

Hashing what all of them do takes seconds, and every process of a run needs it. Like bytecode, what is kept is of sources with
exactly these contents, and of this version of Python; where it cannot be written, it is found out again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from capbench.store import places
from capbench.store.files import write_whole

_FEW = 4  # kept at most: of other branches, and of other versions of Python
_NAME = "sources-{}.cache"


@dataclass(frozen=True)
class Sources:
    """By source file: its digest (see syntax.file_digest), and the files of capbench that it imports (see code.py)."""

    digests: Mapping[Path, str]
    imports: Mapping[Path, frozenset[Path]]


def remembered(files: Iterable[Path], find_out: Callable[[], Sources]) -> Sources:
    """What is kept of these files, else what `find_out` gives of them, which is then kept.

    It is not kept if a source was edited meanwhile: nobody knows of which content it is.
    """
    print_of = fingerprint()
    kept = _folder() / _NAME.format(print_of)
    found = _read(kept)
    if found is not None and found.digests.keys() >= set(files):
        return found
    found = find_out()
    if not sys.dont_write_bytecode and fingerprint() == print_of:
        with suppress(OSError):
            _write(kept, found)
    return found


def fingerprint() -> str:
    """Of the contents and places of all sources of capbench, and of Python's version, whose syntax trees differ."""
    whole = hashlib.sha256(sys.version.encode())
    for file in sorted(places.ROOT.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        whole.update(f"{file.relative_to(places.ROOT).as_posix()} {content}\n".encode())
    return whole.hexdigest()[:24]


def _folder() -> Path:
    return Path(importlib.util.cache_from_source(str(places.ROOT / "store" / "code.py"))).parent


def _read(file: Path) -> Sources | None:
    """None for a file that is not there, or that is not whole."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        raw = json.loads(file.read_text("utf-8"))
        if raw["check"] == _check(raw["sources"]):
            sources: Mapping[str, tuple[str, list[str]]] = raw["sources"]
            return Sources(
                digests={places.ROOT / name: digest for name, (digest, _) in sources.items()},
                imports={
                    places.ROOT / name: frozenset(places.ROOT / i for i in imports)
                    for name, (_, imports) in sources.items()
                },
            )
    return None


def _write(file: Path, found: Sources) -> None:
    sources = {
        _name(source): [digest, sorted(map(_name, found.imports[source]))] for source, digest in found.digests.items()
    }
    file.parent.mkdir(exist_ok=True)
    write_whole(file, json.dumps({"check": _check(sources), "sources": sources}))
    others = sorted(file.parent.glob(_NAME.format("*")), key=lambda other: other.stat().st_mtime, reverse=True)
    for old in others[_FEW:]:
        old.unlink(missing_ok=True)


def _name(source: Path) -> str:
    return source.relative_to(places.ROOT).as_posix()


def _check(sources: object) -> str:
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()
