"""A pretrained model on this machine: a folder with config.json and safetensors, or a GGUF file. Found without transformers.

Nothing here is downloaded, and no file is read that could run code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.reading import read_text

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER, ADAPTER = "tokenizer.json", "adapter_config.json"
_VOCABULARIES = (
    TOKENIZER,
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_POINTER = b"version https://git-lfs"
_NOT_PICKLE = (
    "a pickle, which can run code when it is read: it is not read here. If you trust it, load it with transformers and write "
    "it with save_pretrained(FOLDER), which makes safetensors"
)


@dataclass(frozen=True)
class Source:
    """path: the folder or the .gguf file. weights: the files that hold the weights, sorted by name."""

    path: Path
    weights: tuple[Path, ...]

    @property
    def is_gguf(self) -> bool:
        return self.path.is_file()

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json; empty for a GGUF file, which holds its own."""
        return {} if self.is_gguf else _json(self.path / CONFIG)

    @property
    def has_vocabulary(self) -> bool:
        """Whether the folder has a file that a tokenizer's vocabulary can be in."""
        return any((self.path / name).is_file() for name in _VOCABULARIES)

    @property
    def tokenizer(self) -> Path | None:
        """tokenizer.json, if the folder has one."""
        return found if (found := self.path / TOKENIZER).is_file() else None


def find(path: str | Path) -> Source:
    """What lies at a path. Raises UsageError, one line, for anything that cannot be loaded; says how to cure it."""
    place = Path(path).expanduser()
    if not place.exists():
        raise UsageError(f"{path}: there is no such file or folder in {Path.cwd()}; models are not downloaded")
    found = _file(place) if place.is_file() else _folder(place)
    for file in found.weights:
        _check_is_no_pointer(file)
    return found


def _file(place: Path) -> Source:
    if place.suffix in _PICKLES:
        raise UsageError(f"{place}: {_NOT_PICKLE}")
    if place.suffix == ".gguf":
        _check_is_no_pointer(place)
        with place.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise UsageError(f"{place}: not a GGUF file, whatever its name says")
        return Source(place, (place,))
    raise UsageError(f"{place}: must be a folder with {CONFIG} and {WEIGHTS}, or a .gguf file")


def _folder(place: Path) -> Source:
    inside = {file.name for file in place.iterdir() if file.is_file()}
    if ADAPTER in inside:
        raise UsageError(
            f"{place}: the folder has an {ADAPTER}; merge the adapter into its model, and give the folder of that"
        )
    if CONFIG not in inside:
        ggufs = sorted(name for name in inside if name.endswith(".gguf"))
        cure = f"; did you mean {place / ggufs[0]}?" if ggufs else ""
        raise UsageError(f"{place}: the folder has no {CONFIG}{cure}")
    if WEIGHTS in inside:
        return Source(place, (place / WEIGHTS,))
    if INDEX in inside:
        return Source(place, _shards(place, inside))
    if pickles := sorted(name for name in inside if name.endswith(_PICKLES)):
        raise UsageError(f"{place / pickles[0]}: {_NOT_PICKLE}")
    others = sorted(name for name in inside if name.endswith(".safetensors"))
    hint = f", though it has {others[0]}" if others else ""
    raise UsageError(f"{place}: the folder has neither {WEIGHTS} nor {INDEX}{hint}")


def _shards(place: Path, inside: set[str]) -> tuple[Path, ...]:
    index = _json(place / INDEX).get("weight_map")
    if not isinstance(index, dict) or not index or not all(isinstance(name, str) for name in index.values()):
        raise UsageError(f"{place / INDEX}: must have a weight_map that names the file of every weight")
    names = sorted(set(index.values()))
    missing = [name for name in names if name not in inside]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"{place}: {missing[0]}{more} of {len(names)} files of weights is missing, which {INDEX} names"
        )
    return tuple(place / name for name in names)


def _check_is_no_pointer(file: Path) -> None:
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise UsageError(f"{file}: a Git LFS pointer in place of the file; fetch it with `git lfs pull`")


def _json(file: Path) -> dict[str, Any]:
    _check_is_no_pointer(file)
    try:
        found = json.loads(read_text(file))
    except ValueError as error:
        raise UsageError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise UsageError(f"{file}: must be a JSON object")
    return found
