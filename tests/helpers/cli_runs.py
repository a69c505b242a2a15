"""The `capbench` command in this process, at a scale that costs nothing, and what it reported."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY

from capbench.cli.main import main
from capbench.studies.scales import SCALES, Scale, small

RATES = {"large": 1e30, "medium": 1e-2, "small": 1e-3, "very-small": 1e-4}  # the first one diverges
SIZES: Any = {
    **{"counter_content": (4, 6), "largest_count": 2, "rates": RATES},
    **{"finetune_steps": 30, "batch_size": 16, "n_evaluate": 100, "n_watch": 16},
}
PCFG: Any = {
    **{"finetune_steps": 20, "watch_every": 2, "pretrain_steps": 12},
    "rates": {"large": 1e-2, "medium": 1e-3, "small": 1e-4},
}
METHODS = """
import copy
def own_loop(model, task, config):
    return copy.deepcopy(model)
def nan(model, task, config):
    tuned = copy.deepcopy(model)
    for parameter in tuned.parameters():
        parameter.data.fill_(float("nan"))
    return tuned
def breaks(model, task, config):
    raise ValueError("no such thing")
"""


def tiny() -> Scale:
    tracr, pcfg = replace(small().tracr, name="tiny", **SIZES), replace(TINY, **PCFG)
    return replace(small(), name="tiny", seeds=2, tracr=tracr, pcfg=pcfg)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> Ended:
    capsys.readouterr()
    code = main(argv)
    out, err = capsys.readouterr()
    return Ended(code, out, err)


def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder but for methods, with scale `tiny`; without a cache of the user's."""
    monkeypatch.setitem(SCALES, "tiny", tiny)  # type: ignore[call-overload]
    monkeypatch.setenv("CAPBENCH_CACHE", str(folder / "never-used"))
    monkeypatch.chdir(folder)
    folder.joinpath("mine.py").write_text(METHODS)


def report(folder: Path, table: str = "tracr") -> Any:
    return json.loads((folder / f"fidelity-{table}.json").read_text())
