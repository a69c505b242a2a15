"""Whole files: a reader finds the old content or the new, even after a crash or a power cut."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.draft")


def write_whole(file: Path, content: bytes | str) -> None:
    """Write beside the file, make that durable, then rename. Text is UTF-8; its line ends stay as they are."""
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.draft")
    try:
        write_durably(draft, content.encode() if isinstance(content, str) else content)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    sync(file.parent)


def write_durably(file: Path, content: bytes) -> None:
    """Write a file that survives a power cut, where nobody reads it before it is done."""
    file.write_bytes(content)
    sync(file)


def sync(path: Path) -> None:
    """Make a file's content, or a directory's entries, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_drafts(folder: Path) -> None:
    """Remove what a killed `write_whole` left in a directory. Nobody may be writing there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if _DRAFT.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()
