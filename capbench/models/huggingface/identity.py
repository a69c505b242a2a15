"""What a pretrained model is, whatever its files are called and wherever they lie: for the key of a step that loads it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from capbench.models.huggingface.config import settings
from capbench.models.huggingface.source import Source, find
from capbench.store.keys import key_of

# Entries that say where a configuration was written, and by what.
_WRITTEN = ("_name_or_path", "transformers_version")


def identity(source: Source | str | Path) -> str:
    """32 hex digits of the SHA-256 of the files of weights and of the configuration. Raises UsageError as `find` does.

    Two checkpoints with the same weights in other files, as in one and in two, differ.
    """
    found = source if isinstance(source, Source) else find(source)
    config = {name: value for name, value in found.config.items() if name not in _WRITTEN}
    return key_of({"config": settings(config), "weights": sorted(digest(file) for file in found.weights)})


def digest(file: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal. Read once per process, as long as its size and time stay as they are."""
    state = file.stat()
    return _digest(file.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
