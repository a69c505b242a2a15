"""The manifest of what is bundled: what each model is, how it was made, its file; and what was measured. Plain data, no torch."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from capbench.store import manifests
from capbench.store.manifests import checked, ints

SCHEMA = 1
NAME, MODELS, RECORDS = "manifest.json", "models", "records"
Kind = Literal["Revive", "Reading"]  # of artefacts without weights, as the store has it
FOLDER = Path(__file__).parent  # the package's own
_KEY, _SHA256 = re.compile(r"[0-9a-f]{8,64}"), re.compile(r"[0-9a-f]{64}")  # they become a file name


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One bundled model.

    key: of its step, and so of its configuration and code. label: the step in words. code: version of the code that shaped it.
    config: the step's configuration with that of its start written out. sha256, size (bytes): of its file. accuracies: by task,
    0..1, at the end of its training, which took `steps` steps and `seconds` seconds. made_as: the key that the model was made
    under, where that is another: it was trained again under the present one, with the same bits (`capbench zoo rekey`).
    """

    key: str
    label: str
    code: str
    config: Mapping[str, Any]
    sha256: str
    size: int
    accuracies: Mapping[str, float]
    steps: int
    seconds: float
    made_as: str = ""

    @property
    def file(self) -> str:
        """Its path, relative to the manifest's folder: other content has another path, so that a build overwrites no file."""
        return f"{MODELS}/{self.sha256[:16]}.safetensors"


def counted(kind: Kind, n: int) -> str:
    """So many artefacts of a kind, in words."""
    one, more = {"Revive": ("curve of a revival", "curves of revivals"), "Reading": ("reading", "readings")}[kind]
    return f"{n} {one if n == 1 else more}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """Something that was measured on models that no method had a part in: the curve of a revival, or a reading.

    key: its artefact's. label: it in words. alike: the same whatever the version of the code.
    """

    key: str
    kind: Kind
    label: str
    alike: str


@dataclass(frozen=True, kw_only=True)
class Records:
    """All that was measured, in one file, compressed. sha256, size (bytes): of that file."""

    sha256: str
    size: int
    entries: tuple[Record, ...]

    @property
    def file(self) -> str:
        """Its path, relative to the manifest's folder; other content has another path."""
        return f"{RECORDS}/{self.sha256[:16]}.json.gz"

    @property
    def by_key(self) -> dict[str, Record]:
        return {entry.key: entry for entry in self.entries}

    def __str__(self) -> str:
        """As in '3 curves of revivals and 20 readings'."""
        counts = Counter(entry.kind for entry in self.entries)
        return " and ".join(counted(kind, n) for kind, n in sorted(counts.items(), reverse=True))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `capbench zoo build` wrote, and the command that did. capbench, torch: their versions then.

    extended: whether it includes the claims beyond the core; pool: the base models of the calibration's pool. records: None where
    only models are bundled.
    """

    capbench: str
    torch: str
    command: str
    scale: str
    seeds: tuple[int, ...]
    extended: bool
    models: tuple[Entry, ...]
    records: Records | None = None
    pool: bool = False

    @property
    def by_key(self) -> dict[str, Entry]:
        """The models."""
        return {entry.key: entry for entry in self.models}

    @property
    def recorded(self) -> dict[str, Record]:
        """What was measured."""
        return {} if self.records is None else self.records.by_key

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(entry.size for entry in self.models) + (0 if self.records is None else self.records.size)

    def to_json(self) -> str:
        """The content of manifest.json; equal manifests give equal texts."""
        raw = {"schema": SCHEMA, **asdict(self)}
        raw["models"] = [{**asdict(entry), "file": entry.file} for entry in self.models]
        del raw["records"]
        if self.records is not None:
            raw["records"] = {**asdict(self.records), "file": self.records.file}
        return json.dumps(raw, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder, None if there is none: nothing is bundled. Raises UsageError, one line, for a damaged one."""
    return manifests.read(folder / NAME, _manifest, schema=SCHEMA, again="run `capbench zoo build` again")


def _manifest(raw: Any) -> Manifest:
    found = Manifest(
        capbench=checked(raw["capbench"], str),
        torch=checked(raw["torch"], str),
        command=checked(raw["command"], str),
        scale=checked(raw["scale"], str),
        seeds=ints(raw["seeds"]),
        extended=checked(raw["extended"], bool),
        pool=checked(raw.get("pool", False), bool),
        models=tuple(map(_entry, checked(raw["models"], list))),
        records=None if raw.get("records") is None else _records(checked(raw["records"], dict)),
    )
    if len(found.by_key) < len(found.models):
        raise ValueError("it names a model twice")
    return found


def _records(raw: Any) -> Records:
    entries = tuple(map(_record, checked(raw["entries"], list)))
    found = Records(sha256=_sha256(raw["sha256"]), size=checked(raw["size"], int), entries=entries)
    if len(found.by_key) < len(entries):
        raise ValueError("it names a curve or a reading twice")
    return found


def _record(raw: Any) -> Record:
    if not _KEY.fullmatch(checked(raw["key"], str)):
        raise ValueError(f"{raw['key']!r} is not a curve's or a reading's key")
    if raw["kind"] not in get_args(Kind):
        raise ValueError(f"{raw['kind']!r} should be one of {', '.join(get_args(Kind))}")
    return Record(key=raw["key"], kind=raw["kind"], label=checked(raw["label"], str), alike=checked(raw["alike"], str))


def _sha256(value: Any) -> str:
    if not _SHA256.fullmatch(checked(value, str)):
        raise ValueError(f"{value!r} is not a SHA-256")
    return str(value)


def _entry(raw: Any) -> Entry:
    if not _KEY.fullmatch(checked(raw["key"], str)):
        raise ValueError(f"{raw['key']!r} is not a model's key")
    return Entry(
        key=raw["key"],
        label=checked(raw["label"], str),
        code=checked(raw["code"], str),
        config=checked(raw["config"], dict),
        sha256=_sha256(raw["sha256"]),
        size=checked(raw["size"], int),
        accuracies={
            checked(name, str): float(checked(raw["accuracies"][name], float, int)) for name in raw["accuracies"]
        },
        steps=checked(raw["steps"], int),
        seconds=float(checked(raw["seconds"], float, int)),
        made_as=checked(raw.get("made_as", ""), str),
    )
