"""The command that makes the bundled models again, without this machine's directories."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path, PurePath

_TAKING_A_WORD = ("-k", "-m", "-n", "-o", "-p", "-r", "-c", "-W")  # pytest's


def recorded(given: str, *, scale: str, seeds: int, extended: bool) -> str:
    """`capbench zoo build` with what the models depend on, from the command line of the pytest that made them.

    A path that is absolute is given from the working directory; of one that is not below it, only the name stays.
    """
    words = given.split()
    suites = [
        _short(word)
        for before, word in itertools.pairwise(words)
        if not word.startswith("-") and before not in _TAKING_A_WORD
    ]
    options = [f"--scale={scale}", f"--seeds={seeds}", *(["--extended"] if extended else [])]
    return shlex.join(["capbench", "zoo", "build", *options, *suites])


def _short(word: str) -> str:
    path, colons, test = word.partition("::")
    here = Path.cwd()
    if PurePath(path).is_absolute():
        path = str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else PurePath(path).name
    return path + colons + test
