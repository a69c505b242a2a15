"""Where the tuned weights of an entry lie: what belongs to which entry, and what is in the way. No torch.

An entry's weights are `tuned/<id>.safetensors`, or an index with shards `tuned/<id>.safetensors.index.json`, or a folder
`tuned/<id>/` with `model.safetensors` or `model.safetensors.index.json`, as libraries of Hugging Face write it. Upper and lower
case are one: on some file systems they are. Each entry is looked for alone, so that a bad name costs no other.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from capbench.checkpoints.manifest import TUNED, Entry, Manifest
from capbench.errors import CapbenchError
from capbench.reading import EncodingError, decoded

WEIGHTS, INDEX = ".safetensors", ".safetensors.index.json"
# Formats of weights that are not read here: those of torch could run code.
_OF_TORCH = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_FOREIGN = (*_OF_TORCH, ".npz", ".h5", ".msgpack", ".gguf", ".onnx")
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}\.safetensors")
CONVERT = "convert it with safetensors.torch.save_file(torch.load(FILE, weights_only=True), …)"


def find(folder: Path, entry: Entry) -> Path | None:
    """The file, the index, or the one of both in a folder, that holds an entry's weights; None if nothing is there yet.

    Raises CapbenchError, one line that begins with what is there, for anything else.
    """
    mine = [path for path in listed(folder / TUNED) if _stem(path.name) == entry.id]
    found = [place for path in mine if (place := _weights_in(path)) is not None]
    if len(found) > 1:
        names = ", ".join(_shown(path, folder) for path in found)
        raise CapbenchError(f"is there {len(found)} times ({names}); keep one")
    if found:
        return found[0]
    for path in mine:
        raise CapbenchError(_useless(path, folder))
    return None


def strays(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """What lies in tuned/ and belongs to no entry, hidden files apart."""
    ids = {entry.id for entry in manifest.entries}
    there = listed(folder / TUNED)
    shards = set()
    for index in (path for path in there if _stem(path.name) in ids and _ends(path, INDEX)):
        with suppress(CapbenchError):  # said of its entry
            shards |= {part.name for part in parts(index)}
    yield from (path for path in there if _stem(path.name) not in ids and path.name not in shards)


def listed(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without hidden files; nothing if there is no folder. Raises CapbenchError, as `find`."""
    try:
        return sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return []
        raise CapbenchError(f"cannot be looked for: {folder.name}/ {_no_file(folder, error)}") from None


def parts(place: Path) -> list[Path]:
    """The files that hold the tensors: the file itself, or the shards of an index. Raises CapbenchError, as `content`."""
    if not _ends(place, INDEX):
        return [place]
    return [place.with_name(shard) for shard in sorted(set(weight_map(place).values()))]


def content(file: Path) -> bytes:
    """The bytes of a file. Raises CapbenchError, one line that begins with the reason."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would wait for ever
            raise CapbenchError("is a folder" if file.is_dir() else "is not a file")
        return file.read_bytes()
    except OSError as error:
        raise CapbenchError(_no_file(file, error)) from None


def weight_map(index: Path) -> dict[str, str]:
    """The shard in which each tensor of an index is, all beside the index. Raises CapbenchError, as `content`."""
    try:
        raw: Any = json.loads(decoded(content(index)))
        found: Any = raw["weight_map"]
        whole = isinstance(found, dict) and all(isinstance(name, str) for name in found.values())
    except EncodingError as error:
        raise CapbenchError(f"is not an index of shards: it {error}") from None
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise CapbenchError('is not an index of shards; it must be JSON with a "weight_map" of tensors to files')
    if away := [name for name in found.values() if Path(name).name != name]:
        raise CapbenchError(f"names the shard {away[0]!r}, which is not beside it")
    return dict(found)


def _weights_in(path: Path) -> Path | None:
    """The file or index that a name in tuned/ stands for, whether or not it can be read; None if it stands for none."""
    if not path.is_dir():
        return path if _is_weights(path) or _ends(path, INDEX) else None
    inside = [p for p in listed(path) if _is_weights(p) or _ends(p, INDEX)]
    if len(inside) > 1:
        raise CapbenchError(f"is a folder with more than one ({', '.join(p.name for p in inside)}); keep one")
    return inside[0] if inside else None


def _useless(path: Path, folder: Path) -> str:
    """What to say of a name that stands for no weights that are read here."""
    shown = _shown(path, folder)
    inside = listed(path) if path.is_dir() else [path]
    if shards := [match for p in inside if (match := _SHARD.fullmatch(p.name))]:
        return f"has shards ({shards[0][0]}, …) without an index; add {shards[0]['stem']}{INDEX}"
    foreign = [p for p in inside if p.suffix.lower() in _FOREIGN]
    if foreign and foreign[0].suffix.lower() in _OF_TORCH:
        return f"is there only as {_shown(foreign[0], folder)}, which is not read, as it could run code; {CONVERT}"
    if foreign:
        return f"is there only as {_shown(foreign[0], folder)}; save it with safetensors.torch.save_file"
    if path.is_dir():
        return f"is a folder without weights ({shown}/); put model{WEIGHTS} in it"
    return f"is there only as {shown}, which is no file of weights; check its name"


def _no_file(path: Path, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a link that leads back to itself"
    if isinstance(error, FileNotFoundError):
        return f"is a link to '{os.readlink(path)}', which is not there" if path.is_symlink() else "is missing"
    return f"cannot be read ({error.strerror or error})"


def _stem(name: str) -> str:
    """The id that a name in tuned/ begins with, if it is that of an entry."""
    name = name.lower()
    if match := _SHARD.fullmatch(name):
        return match["stem"]
    return next((name.removesuffix(end) for end in (INDEX, WEIGHTS, *_FOREIGN) if name.endswith(end)), name)


def _is_weights(path: Path) -> bool:
    return _ends(path, WEIGHTS) and not _SHARD.fullmatch(path.name.lower())


def _ends(path: Path, end: str) -> bool:
    return path.name.lower().endswith(end)


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
