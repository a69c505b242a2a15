"""The two files of a folder of stories, and what cannot be such a file at a glance. Standard library only."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capbench.errors import UsageError

# By part, the names that are looked for, in order.
NAMES = {
    "train": ("TinyStories-Instruct-train.txt", "train.txt"),
    "valid": ("TinyStories-Instruct-valid.txt", "valid.txt"),
}
_POINTER = b"version https://git-lfs.github.com/spec/"
_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, kw_only=True)
class Files:
    """train: what models are trained on; valid: what is held out."""

    train: Path
    valid: Path


def find(folder: Path) -> Files:
    """The files of a folder. Raises UsageError, one line, for one that is not there, lacks a file, or holds no text."""
    folder = folder.expanduser()
    if folder.is_file():
        raise UsageError(f"{folder}: is a file; give the folder that it lies in")
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder in {Path.cwd()}")
    found = {}
    for part, names in NAMES.items():
        there = [folder / name for name in names if (folder / name).is_file()]
        if not there:
            raise UsageError(f"{folder}: has no {names[0]}, nor {names[1]}; it holds {_content(folder)}")
        found[part] = there[0]
    for file in found.values():
        _check(file)
    if found["train"].samefile(found["valid"]):
        raise UsageError(f"{folder}: {found['valid'].name} is the same file as {found['train'].name}")
    return Files(**found)


def lines(file: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a text with their numbers, from 1, without line ends, which may be \n, \r\n or \r. Memory is bounded.

    Raises UsageError, one line, for a file that is not UTF-8 or cannot be read.
    """
    number = 0
    try:
        with file.open(encoding="utf-8-sig", newline=None) as text:
            for number, line in enumerate(text, 1):
                if "\0" in line:
                    raise UsageError(f"{file}: is not UTF-8 text (a zero byte in line {number}): save it as UTF-8")
                yield number, line.removesuffix("\n")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UsageError(f"{file}: is not UTF-8 (byte 0x{byte:02x} after line {number}): save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


def _check(file: Path) -> None:
    try:
        with file.open("rb") as content:
            start = content.read(64)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    if not start:
        raise UsageError(f"{file}: is empty")
    if start.startswith(_POINTER):
        raise UsageError(f"{file}: is a pointer of Git LFS, not the stories; fetch the file with `git lfs pull`")
    if start.startswith(_OTHER_ENCODINGS):
        raise UsageError(f"{file}: is UTF-16, not UTF-8: save it as UTF-8")


def _content(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "") if names else "nothing"
