"""What --capbench-zoo asks for, checked before anything is computed. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.zoo.bundle import check_folder
from capbench.zoo.manifest import FOLDER

# What cannot be given besides, as no test is run, or as it is about other models; with what they are when they are not given.
_WITH_RUNS = {
    **dict.fromkeys(("capbench_method", "capbench_method_arg", "capbench_checkpoints", "capbench_report"), None),
    **dict.fromkeys(
        ("capbench_export", "capbench_task", "capbench_variants", "capbench_replay", "capbench_only"), None
    ),
    **{"capbench_baseline": None, "capbench_baseline_save": False, "capbench_fail_on": None},
    **{"capbench_retrain": False, "capbench_expect": "paper"},
}
CHOICES = ("build", "verify")


def check_zoo(given: Any) -> None:
    """Raises UsageError where --capbench-zoo cannot be done, given pytest's option namespace."""
    what, folder = given.capbench_zoo, given.capbench_zoo_dir
    if what is None:
        if folder is not None:
            raise UsageError("--capbench-zoo-dir says where --capbench-zoo finds or puts models; give that, too")
        return
    if what not in CHOICES:
        raise UsageError(f"--capbench-zoo={what}: unknown; known: {', '.join(CHOICES)}")
    for name, default in _WITH_RUNS.items():
        if getattr(given, name, default) not in (default, []):
            raise UsageError(f"--capbench-zoo runs no test: leave --{name.replace('_', '-')} away")
    if getattr(given, "tx", None) or getattr(given, "numprocesses", None):
        raise UsageError(
            "--capbench-zoo works in one process: leave -n away (--capbench-jobs sets trainings at a time)"
        )
    place = FOLDER if folder is None else Path(folder)
    if what == "build":
        check_folder("--capbench-zoo-dir", place)
    elif not place.is_dir():
        raise UsageError(f"--capbench-zoo-dir={place}: there is no such folder; `capbench zoo build` makes one")
