"""Weights trained elsewhere, as a fine-tuning method that looks them up instead of training. Imports torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

from capbench import __version__
from capbench.checkpoints import copies, identity, places, weights
from capbench.checkpoints.manifest import Entry, Manifest, read
from capbench.configs import TrainConfig
from capbench.errors import CapbenchError, MethodError, UsageError
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import checkpoint


def from_folder(folder: Path) -> Callable[[Model, FineTuningTask, TrainConfig], Model]:
    """The method that gives the weights of an exported folder's tuned/. Raises MethodError if its manifest cannot be read.

    The method itself raises MethodError, one line, for a fine-tuning that was not exported, and for weights that are missing
    or cannot be those of its model.
    """
    method = f"method 'checkpoints:{folder.name}'"
    try:
        manifest = read(folder)
    except UsageError as error:
        raise MethodError(f"{method}: {error}") from None
    entries = {entry.id: entry for entry in manifest.entries}

    def tune(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
        base = model.state_dict()
        recipe, tensors = identity.recipe(task, config), identity.tensors_hash(base)
        entry = entries.get(identity.entry_id(recipe, tensors))
        if entry is None:
            raise MethodError(f"{method}: {_why_not(manifest, recipe)}")
        try:
            place = places.find(folder, entry)
            tuned = {} if place is None else weights.tuned(folder, entry, place, model)
        except CapbenchError as error:
            raise MethodError(f"{method}: {entry.tuned} {error} ({entry.title})") from None
        if place is None:
            raise MethodError(f"{method}: no tuned weights for {entry.title}: {entry.tuned} is missing")
        fault = next(weights.faults(tuned, weights.info(base)), None) or _copied(folder, manifest, entry)
        if fault:
            raise MethodError(f"{method}: {entry.tuned} {fault} ({entry.title})")
        result = copy.deepcopy(model)
        result.load_state_dict(tuned)
        if config.steps:
            checkpoint(config.steps, result)  # where the curves end; what lies between is unknown
        return result

    return tune


def _copied(folder: Path, manifest: Manifest, entry: Entry) -> str:
    """What to say if another base model has the same weights after its training."""
    others = (other for other in copies.of(folder, manifest, entry) if other.base_tensors != entry.base_tensors)
    return next((copies.said(entry, other) for other in others), "")


def _why_not(manifest: Manifest, recipe: str) -> str:
    """Why a fine-tuning is not among the exported ones."""
    seeds = ", ".join(map(str, manifest.seeds))
    by = f"exported by capbench {manifest.capbench}" + (
        "" if manifest.capbench == __version__ else f", this is {__version__}"
    )
    if any(entry.recipe == recipe for entry in manifest.entries):
        return (
            f"the base model here is not the one that was exported ({by}); "
            "judge with the cache that it was exported from, or export and train again"
        )
    return (
        f"this fine-tuning was not exported (the folder has scale {manifest.scale}, seeds {seeds}, "
        f"{len(manifest.entries)} fine-tunings, {by}); export again with the tests that you want judged"
    )
