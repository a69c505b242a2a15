"""What the options of checkpoint mode ask for, checked before anything is computed. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capbench.checkpoints.export import CHOICES, check_folder
from capbench.checkpoints.manifest import Manifest, read
from capbench.errors import UsageError
from capbench.methods.specs.checkpoints import Checkpoints

# What cannot be combined with an export, as no test is run: pytest's names of the options, with their defaults.
_WITH_RUNS = {
    **{"capbench_method": None, "capbench_method_arg": None, "capbench_checkpoints": None, "capbench_report": None},
    **{
        "capbench_baseline": None,
        "capbench_baseline_save": False,
        "capbench_fail_on": None,
        "capbench_expect": "paper",
    },
}


def check_export(given: Any) -> None:
    """Raises UsageError where --capbench-export cannot be done, given pytest's option namespace."""
    if given.capbench_export is None:
        if given.capbench_export_data is not None:
            raise UsageError("--capbench-export-data needs --capbench-export=DIR")
        return
    for name, default in _WITH_RUNS.items():
        if getattr(given, name) not in (default, []):
            raise UsageError(f"--capbench-export runs no tests: omit --{name.replace('_', '-')}")
    if getattr(given, "tx", None) or getattr(given, "numprocesses", None):
        raise UsageError(
            "--capbench-export runs in one process: omit -n (--capbench-jobs sets how many trainings run at a time)"
        )
    data = given.capbench_export_data
    if data is not None and data not in CHOICES:
        raise UsageError(f"--capbench-export-data={data}: unknown choice; known: {', '.join(CHOICES)}")
    check_folder("--capbench-export", Path(given.capbench_export))


def only(given: Any) -> str | None:
    """What --capbench-only says. Raises UsageError for an unknown choice, and for options that need tests to run."""
    if (what := given.capbench_only) is None:
        return None
    if what not in ("plan", "train"):
        raise UsageError(f"--capbench-only={what}: unknown choice; known: plan, train")
    for name in ("export", "report", "baseline", "baseline_save"):
        if getattr(given, f"capbench_{name}"):
            raise UsageError(f"--capbench-only={what} runs no tests: omit --capbench-{name.replace('_', '-')}")
    if getattr(given, "tx", None) or getattr(given, "numprocesses", None):
        raise UsageError(
            f"--capbench-only={what} runs in one process: omit -n (--capbench-jobs sets how many trainings run at a time)"
        )
    return str(what)


def folder_to_judge(given: Any) -> tuple[str, Manifest] | None:
    """The method that --capbench-checkpoints stands for, and the folder's manifest; None if it is not given.

    Raises UsageError for a folder without a good manifest, one of another scale or with fewer seeds, and a method given as well.
    """
    if given.capbench_checkpoints is None:
        return None
    option = f"--capbench-checkpoints={given.capbench_checkpoints}"
    if given.capbench_method:
        raise UsageError(
            f"{option}: its weights take the place of a method; omit --capbench-method={given.capbench_method[0]}"
        )
    if given.capbench_method_arg:
        raise UsageError(
            f"{option}: its weights take no arguments; omit --capbench-method-arg={given.capbench_method_arg[0]}"
        )
    try:
        manifest = read(Path(given.capbench_checkpoints))
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
    if manifest.scale != given.capbench_scale:
        raise UsageError(
            f"{option}: exported at scale {manifest.scale!r}, this run has {given.capbench_scale!r}; "
            f"use --capbench-scale={manifest.scale}"
        )
    return f"{Checkpoints.prefix}{given.capbench_checkpoints}", manifest


def check_seeds(given: Any, manifest: Manifest, seeds: int) -> None:
    """Raises UsageError if a run asks for seeds that the folder lacks."""
    if beyond := sorted(set(range(seeds)) - set(manifest.seeds)):
        raise UsageError(
            f"--capbench-seeds={seeds}: {given.capbench_checkpoints!r} was exported with --seeds={len(manifest.seeds)} "
            f"(it has no seed {beyond[0]}); export with --seeds={seeds}"
        )
