"""Files of weights trained elsewhere: read, and compared with what the base model has. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from capbench.checkpoints import language
from capbench.checkpoints.manifest import Entry, TensorInfo
from capbench.checkpoints.places import CONVERT, INDEX, content, weight_map
from capbench.errors import CapbenchError, UsageError
from capbench.methods.wrapped import wrapped
from capbench.models.base import Model


def info(tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorInfo]:
    """dtype and shape of every tensor."""
    return {
        name: TensorInfo(dtype=str(t.dtype).removeprefix("torch."), shape=tuple(t.shape)) for name, t in tensors.items()
    }


def read(place: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of all shards of an index, on the CPU.

    Raises CapbenchError, one line that begins with the reason.
    """
    if not place.name.lower().endswith(INDEX):
        return _read(place)
    where, found = weight_map(place), {}
    for shard in sorted(set(where.values())):
        try:
            tensors = _read(place.with_name(shard))
        except CapbenchError as error:
            raise CapbenchError(f"names the shard {shard!r}, which {error}") from None
        indexed = {name for name, file in where.items() if file == shard}
        if odd := sorted(indexed ^ tensors.keys()):
            has = "has, and the index does not name" if odd[0] in tensors else "lacks"
            raise CapbenchError(f"does not fit its shards: {shard!r} {has} {odd[0]!r}; save them again")
        found.update(tensors)
    return found


def tuned(folder: Path, entry: Entry, place: Path, base: Model | None = None) -> dict[str, torch.Tensor]:
    """The tuned weights of an entry, which are at `place`. base: its base model; else the exported one, where it is needed.

    Raises CapbenchError, as `read`.
    """
    if not entry.in_folder:
        return read(place)
    try:
        return language.tuned(folder, entry, base or language.exported_base(folder, entry))
    except UsageError as error:
        raise CapbenchError(f"cannot be compared with its base model: {error}") from None


def _read(file: Path) -> dict[str, torch.Tensor]:
    # From bytes, not from the file: under a mmap it could change later.
    given = content(file)
    try:
        return safetensors.torch.load(given)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        why, cure = " ".join(str(error).split()), "write it with safetensors.torch.save_file"
        for begins, what, instead in _OTHERS:
            if given.startswith(begins):
                why, cure = what, instead
        raise CapbenchError(f"is not a safetensors file ({why}); {cure}") from None


# What is often found under the name of weights, by its first bytes, and what to do about it.
_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself: git lfs pull"),
    (b"PK\x03\x04", "a file of torch.save under another name", CONVERT),
    (b"\x80\x02", "a file of torch.save or pickle under another name", CONVERT),
    (b"<", "a web page", "download the file itself"),
)


def faults(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, TensorInfo]) -> Iterator[str]:
    """What keeps tensors from being weights of the expected shapes and dtypes, one line each; empty if nothing does."""
    found = info(tensors)
    if (how := wrapped(sorted(tensors), expected)) is not None:
        made = f" ({how.by})" if how.by else ""
        yield f"has other names than the base model: {how.names}{made}; {how.cure or 'strip it'} before saving"
        return
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"lacks {name!r} ({expected[name]})"
        elif name not in expected:
            yield f"adds {name!r} ({found[name]}), which the base model lacks; merge adapters before saving"
        elif found[name].shape != expected[name].shape:
            yield f"has {name!r} as {found[name]}; the base model has {expected[name]}"
        elif found[name].dtype != expected[name].dtype:
            cure = "`.float()`" if expected[name].dtype == "float32" else f"`.to(torch.{expected[name].dtype})`"
            yield f"has {name!r} as {found[name]}; the base model has {expected[name]}: convert it with {cure}"
        elif not bool(torch.isfinite(tensors[name]).all()):
            yield f"has non-finite numbers in {name!r}: the training diverged"
