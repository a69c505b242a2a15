"""The command that makes the bundled models again, without this machine's directories."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePath

from capbench.configs import Precision


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The tests of a run, as its command line chose them. tests: as named; keyword, marks: what -k and -m were given."""

    tests: tuple[str, ...] = ()
    keyword: str = ""
    marks: str = ""


def recorded(
    selection: Selection,
    *,
    scale: str,
    seeds: int,
    extended: bool,
    pool: bool = False,
    precision: Precision = "float32",
    device: str = "cpu",
) -> str:
    """`capbench zoo build` with all that the models depend on, as a line for a shell.

    A path that is absolute is given from the working directory; of one that is not below it, only the name stays.
    """
    options = [f"--scale={scale}", f"--seeds={seeds}"]
    options += ["--extended"] if extended else []
    options += ["--pool"] if pool else []
    options += [f"--precision={precision}"] if precision != "float32" else []
    options += [f"--device={device}"] if device != "cpu" else []
    options += ["-k", selection.keyword] if selection.keyword else []
    options += ["-m", selection.marks] if selection.marks else []
    return shlex.join(["capbench", "zoo", "build", *options, *map(_short, selection.tests)])


def _short(word: str) -> str:
    path, colons, test = word.partition("::")
    here = Path.cwd()
    if PurePath(path).is_absolute():
        path = str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else PurePath(path).name
    return path + colons + test
