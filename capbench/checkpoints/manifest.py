"""The manifest of an exported folder: what was written, what is to be trained, and from what. Plain data, no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.store import manifests
from capbench.store.manifests import checked, ints

SCHEMA = 1
NAME, BASE, DATA, TUNED = "manifest.json", "base", "data", "tuned"
STREAMS = ("target", "retain", "forget", "others")
_FILE = re.compile(r"(base|data)/[0-9a-f]{8,64}(\.safetensors|\.jsonl|/\w[\w.-]*)")
_IN_FOLDER = "/model.safetensors"  # how the path of a language model ends
_ID = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """dtype: its name as in torch (`float32`)."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that was exported. size: bytes. tensors: none where it holds no weights or batches."""

    sha256: str
    size: int
    tensors: Mapping[str, TensorInfo]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One fine-tuning to be done.

    id: of task, training and base model (see identity.py). serves: the claims that need it, in words. base: path of the base
    model, with the hash of its tensors. recipe: hash of task and training without the base. data: paths by stream.
    train: the fields of TrainConfig. stream: of the task: its name, vocab_size, seq_len, answer_pos, answer_weight, and `ignore`,
    the target value that carries no loss. architecture: `kind` and the fields of GptConfig, or of TracrConfig as its JSON. A
    language model's base is in a folder of its own, its data are JSON lines.
    """

    id: str
    serves: tuple[str, ...]
    base: str
    base_tensors: str
    recipe: str
    data: Mapping[str, str]
    train: Mapping[str, Any]
    stream: Mapping[str, Any]
    architecture: Mapping[str, Any]

    @property
    def in_folder(self) -> bool:
        """Whether its models are folders, as those of transformers are."""
        return self.base.endswith(_IN_FOLDER)

    @property
    def tuned(self) -> str:
        """Where its tuned weights belong, relative to the folder."""
        return f"{TUNED}/{self.id}" + ("/" if self.in_folder else ".safetensors")

    @property
    def title(self) -> str:
        """The first claim that needs it, and how many others do."""
        more = len(self.serves) - 1
        return self.serves[0] + (f" (and {more} more)" if more else "")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an export wrote. streams: none, target or full. files: by their paths relative to the folder."""

    capbench: str
    torch: str
    scale: str
    seeds: tuple[int, ...]
    streams: str
    files: Mapping[str, File]
    entries: tuple[Entry, ...]

    def to_json(self) -> str:
        """The content of manifest.json; equal manifests give equal texts."""
        raw = {"schema": SCHEMA, **asdict(self)}
        raw["entries"] = [{**asdict(entry), "tuned": entry.tuned} for entry in self.entries]
        return json.dumps(raw, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read(folder: Path) -> Manifest:
    """The manifest of an exported folder. Raises UsageError, one line, for one that is missing, damaged or of another schema."""
    found = manifests.read(folder / NAME, _manifest, schema=SCHEMA, again="export again")
    if found is None:
        raise UsageError(f"there is no {NAME} in '{folder}'; `capbench export DIR` makes such a folder")
    return found


def _manifest(raw: Any) -> Manifest:
    found = Manifest(
        capbench=checked(raw["capbench"], str),
        torch=checked(raw["torch"], str),
        scale=checked(raw["scale"], str),
        seeds=ints(raw["seeds"]),
        streams=checked(raw["streams"], str),
        files={_path(path): _file(file) for path, file in checked(raw["files"], dict).items()},
        entries=tuple(map(_entry, checked(raw["entries"], list))),
    )
    if not found.seeds:
        raise ValueError("it names no seeds")
    for entry in found.entries:
        for path in (entry.base, *entry.data.values()):
            if path not in found.files:
                raise ValueError(f"entry {entry.id} names {path!r}, which is not among its files")
    return found


def _file(raw: Any) -> File:
    tensors = {
        name: TensorInfo(dtype=checked(t["dtype"], str), shape=ints(t["shape"]))
        for name, t in checked(raw["tensors"], dict).items()
    }
    return File(sha256=checked(raw["sha256"], str), size=checked(raw["size"], int), tensors=tensors)


def _entry(raw: Any) -> Entry:
    if not _ID.fullmatch(checked(raw["id"], str)):  # it becomes a file name
        raise ValueError(f"{raw['id']!r} is not an entry's id")
    serves = tuple(checked(words, str) for words in checked(raw["serves"], list))
    if not serves:
        raise ValueError(f"entry {raw['id']} serves no claim")
    return Entry(
        id=raw["id"],
        serves=serves,
        base=_path(raw["base"]),
        base_tensors=checked(raw["base_tensors"], str),
        recipe=checked(raw["recipe"], str),
        data={stream: _path(path) for stream, path in checked(raw["data"], dict).items()},
        train=checked(raw["train"], dict),
        stream=checked(raw["stream"], dict),
        architecture=checked(raw["architecture"], dict),
    )


def _path(value: Any) -> str:
    """A file in this folder only: a manifest may come from anywhere."""
    if not _FILE.fullmatch(checked(value, str)):
        raise ValueError(f"{value!r} is not the path of an exported file")
    return str(value)
