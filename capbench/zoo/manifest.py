"""The manifest of the bundled base models: what each is, how it was made, its file. Plain data, no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from capbench.store import manifests
from capbench.store.manifests import checked, ints

SCHEMA = 1
NAME, MODELS = "manifest.json", "models"
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


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `capbench zoo build` wrote, and the command that did. capbench, torch: their versions then.

    extended: whether it includes the claims beyond the core.
    """

    capbench: str
    torch: str
    command: str
    scale: str
    seeds: tuple[int, ...]
    extended: bool
    models: tuple[Entry, ...]

    @property
    def by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.models}

    def to_json(self) -> str:
        """The content of manifest.json; equal manifests give equal texts."""
        raw = {"schema": SCHEMA, **asdict(self)}
        raw["models"] = [{**asdict(entry), "file": entry.file} for entry in self.models]
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
        models=tuple(map(_entry, checked(raw["models"], list))),
    )
    if len(found.by_key) < len(found.models):
        raise ValueError("it names a model twice")
    return found


def _entry(raw: Any) -> Entry:
    if not _KEY.fullmatch(checked(raw["key"], str)):
        raise ValueError(f"{raw['key']!r} is not a model's key")
    if not _SHA256.fullmatch(checked(raw["sha256"], str)):
        raise ValueError(f"{raw['sha256']!r} is not a SHA-256")
    return Entry(
        key=raw["key"],
        label=checked(raw["label"], str),
        code=checked(raw["code"], str),
        config=checked(raw["config"], dict),
        sha256=raw["sha256"],
        size=checked(raw["size"], int),
        accuracies={
            checked(name, str): float(checked(raw["accuracies"][name], float, int)) for name in raw["accuracies"]
        },
        steps=checked(raw["steps"], int),
        seconds=float(checked(raw["seconds"], float, int)),
        made_as=checked(raw.get("made_as", ""), str),
    )
