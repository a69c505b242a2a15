"""Files of weights trained elsewhere: read, and compared with what the base model has. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from capbench.checkpoints.manifest import TensorInfo
from capbench.errors import CapbenchError


def info(tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorInfo]:
    """dtype and shape of every tensor."""
    return {
        name: TensorInfo(dtype=str(t.dtype).removeprefix("torch."), shape=tuple(t.shape)) for name, t in tensors.items()
    }


def read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises CapbenchError, one line that begins with the reason."""
    try:
        # From bytes, not from the file: under a mmap it could change later.
        return safetensors.torch.load(file.read_bytes())
    except OSError as error:
        raise CapbenchError(f"cannot be read ({error.strerror or error})") from None
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())
        raise CapbenchError(f"is not a safetensors file ({why}); write it with safetensors.torch.save_file") from None


def faults(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, TensorInfo]) -> Iterator[str]:
    """What keeps tensors from being weights of the expected shapes and dtypes, one line each; empty if nothing does."""
    found = info(tensors)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"lacks {name!r} ({expected[name]})"
        elif name not in expected:
            yield f"adds {name!r} ({found[name]}), which the base model lacks; merge adapters before saving"
        elif found[name] != expected[name]:
            yield f"has {name!r} as {found[name]}; the base model has {expected[name]}"
        elif not bool(torch.isfinite(tensors[name]).all()):
            yield f"has non-finite numbers in {name!r}: the training diverged"
