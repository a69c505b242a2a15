"""What --format and --output mean to every command that shows a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from capbench.errors import UsageError

T = TypeVar("T")


def chosen(formats: Mapping[str, T], given: str) -> T:
    """The form asked for. UsageError if there is none of this name."""
    if given not in formats:
        raise UsageError(f"--format={given}: unknown format; known: {', '.join(formats)}")
    return formats[given]


def give(text: str, output: str | None) -> None:
    """Print the text, or write it to the file, whole or not at all."""
    if output is None:
        print(text.rstrip("\n"), flush=True)
    else:
        write("--output", output, text)


def write(option: str, file: str, text: str) -> None:
    """Write the text to the file that this option names, whole or not at all. UsageError where that is not possible."""
    from capbench.store.files import write_whole

    try:
        write_whole(Path(file), text if text.endswith("\n") else f"{text}\n")
    except OSError as error:
        raise UsageError(f"{option}={file}: cannot be written ({error.strerror or error}); give a file") from None
    print(f"capbench: wrote {file}", file=sys.stderr)
