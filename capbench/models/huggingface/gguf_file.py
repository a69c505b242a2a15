"""GGUF files: read once per load, though transformers reads them anew for configuration, weights and tokenizer."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capbench.errors import UsageError


@contextmanager
def read_once(file: Path) -> Iterator[Any]:
    """The reader of a file; within this block everything that opens the file gets this one, as parsing it takes seconds.

    transformers also asks gguf for a table of names once per module of a model: within this block that is made once, too.
    Raises UsageError without the package gguf, and for a file that it cannot read.
    """
    try:
        import gguf as package
    except ImportError:
        raise UsageError(f"{file}: needs the package gguf; pip install 'capbench[hf]'") from None
    gguf: Any = package  # two of its names are replaced below
    own, own_names = gguf.GGUFReader, gguf.get_tensor_name_map
    shared = functools.cache(own)
    try:
        reader = shared(str(file))
    except Exception as error:  # whatever its parser meets
        raise UsageError(f"{file}: cannot be read as GGUF ({' '.join(str(error).split())}); is it whole?") from None
    gguf.GGUFReader = shared  # transformers looks both up each time
    gguf.get_tensor_name_map = functools.cache(own_names)
    try:
        yield reader
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = own, own_names


def n_weights(reader: Any) -> int:
    """How many numbers its tensors hold."""
    return sum(int(tensor.n_elements) for tensor in reader.tensors)


def n_tokens(reader: Any) -> int | None:
    """Size of the tokenizer's vocabulary, None without a tokenizer."""
    field = reader.fields.get("tokenizer.ggml.tokens")
    return None if field is None else len(field.data)
