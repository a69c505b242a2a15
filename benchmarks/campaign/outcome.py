"""What a run computed, and what it left behind."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.runs import EVERY, Ended, Place, Trained

_OWN = re.compile(r"pymp-.*")  # Python's folder for sockets between processes: a killed process leaves it
_TIMES = ("seconds", "wall")


@dataclass(frozen=True)
class Outcome:
    """What must not hang on anything that happened on the way.

    results: records and capabilities of results.json without seconds. artefacts: by key, hash of the tensors and metadata.
    """

    results: Any
    artefacts: Mapping[str, Any]

    @staticmethod
    def of(place: Place, ended: Ended) -> Outcome:
        """The outcome of a run, from its files: nothing here trusts the store."""
        found = re.findall(r"^report: (.*)/report\.html$", ended.out, re.MULTILINE)
        results = _without_times(json.loads((Path(found[-1]) / "results.json").read_text())) if found else {}
        results.pop("run", None)
        artefacts = {}
        for path in sorted((place.cache / "artefacts").glob("*/*")):
            try:
                meta = json.loads((path / "meta.json").read_bytes())
                tensors = hashlib.sha256((path / "tensors.safetensors").read_bytes()).hexdigest()
                artefacts[path.name] = {"tensors": tensors, "meta": _without_times(meta["meta"]), "kind": meta["kind"]}
            except (OSError, ValueError, KeyError) as error:
                artefacts[path.name] = repr(error)
        return Outcome(results, artefacts)

    def differences(self, other: Outcome) -> list[str]:
        """A line for each thing that is not the same in the other."""
        return [
            *(f"results differ at {where}" for where in _differences(self.results, other.results, "results")),
            *(f"artefacts differ at {where}" for where in _differences(self.artefacts, other.artefacts, "artefacts")),
        ]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(part) for name, part in value.items() if name not in _TIMES}
    return [_without_times(part) for part in value] if isinstance(value, list) else value


def _differences(one: Any, other: Any, where: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())
        return [d for n in names for d in _differences(one.get(n), other.get(n), f"{where}.{n}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [d for n, (a, b) in enumerate(zip(one, other, strict=True)) for d in _differences(a, b, f"{where}[{n}]")]
    return [] if one == other else [f"{where}: {str(one)[:60]} and {str(other)[:60]}"]


def finished(place: Place) -> dict[str, int]:
    """The artefacts that are there, with the inodes of their folders: another inode is another making."""
    folders = (place.cache / "artefacts").glob("*/*")
    return {path.name: path.stat().st_ino for path in folders if len(list(path.iterdir())) == 2}


def made_again(before: Mapping[str, int], place: Place, damaged: str = "") -> list[str]:
    """A line for each artefact that was there and was made once more. damaged: the one that had to be."""
    now = finished(place)
    return [f"{key} was made again" for key, inode in before.items() if now.get(key) != inode and key != damaged]


def steps(trained: Iterable[Trained]) -> Counter[str]:
    """How many training steps were done, by the step of the plan."""
    return Counter(one.key for one in trained)


def repeated(needed: Counter[str], first: Ended, then: Ended) -> dict[str, tuple[int, int]]:
    """By step of the plan: training steps that were done twice, and how many may be, those since the last snapshot."""
    found = {}
    for key, number in steps((*first.trained, *then.trained)).items():
        if number > needed[key]:
            at = [one.at for one in first.trained if one.key == key] or [0.0]
            pause = max((b - a for a, b in itertools.pairwise(at)), default=0.0)
            found[key] = (number - needed[key], sum(one >= at[-1] - EVERY - pause for one in at))
    return found


def left(place: Place) -> list[str]:
    """A line for each file or folder that should not be there after a run that came to its end."""
    found = [*_below(place.cache / "tmp"), *_below(place.cache / "partial"), *place.disk.rglob("*.draft")]
    found += [path for path in _below(place.temporary) if not _OWN.fullmatch(path.name)]
    return [
        f"left behind: {path.relative_to(place.disk if place.disk in path.parents else place.folder)}" for path in found
    ]


def _below(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
