"""The `capbench` command in this process, at a scale that costs nothing, and what it reported."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY

from capbench.cli.main import main
from capbench.studies.calibration import preset as calibration
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.scales import SCALES
from capbench.studies.tracr import preset as tracr

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


def tiny_pcfg() -> pcfg.PcfgPreset:
    return replace(TINY, **PCFG)


def tiny_tracr() -> tracr.TracrPreset:
    return replace(tracr.small(), name="tiny", **SIZES)


def tiny_pool() -> calibration.CalibrationPreset:
    return calibration.CalibrationPreset(name="tiny", pcfg=tiny_pcfg(), tracr=tiny_tracr(), most=1)


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
    monkeypatch.setitem(SCALES, "tiny", 2)  # type: ignore[call-overload]
    for module, preset in ((pcfg, tiny_pcfg), (tracr, tiny_tracr), (calibration, tiny_pool)):
        monkeypatch.setitem(module.PRESETS, "tiny", preset)  # type: ignore[attr-defined]
    monkeypatch.setenv("CAPBENCH_CACHE", str(folder / "never-used"))
    monkeypatch.chdir(folder)
    folder.joinpath("mine.py").write_text(METHODS)


def report(folder: Path, table: str = "tracr") -> Any:
    return json.loads((folder / f"fidelity-{table}.json").read_text())
