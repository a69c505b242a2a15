"""A folder for a training elsewhere, at a size that costs nothing, and ways to fill it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from tiny_study import BASE, TRAIN, tuned

from capbench.checkpoints.export import Wanted, export
from capbench.checkpoints.manifest import Entry, Manifest
from capbench.methods.specs.registry import find
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store
from capbench.training.loop import fit

Tensors = dict[str, torch.Tensor]
SLOW, FAST = tuned(find("full")), replace(tuned(find("full")), train=replace(TRAIN, lr=3e-2))
# Another base, another seed.
OTHER = replace(tuned(find("full"), replace(BASE, train=replace(TRAIN, seed=1))), train=replace(TRAIN, seed=7))
STEPS = {"slow, seed 0": SLOW, "fast, seed 0": FAST, "slow, seed 1": OTHER}


def exported(store: Store, folder: Path, *, streams: str = "full", scale: str = "tiny", **steps: FineTune) -> Manifest:
    """Three fine-tunings of two base models (or those given), in a folder."""
    wanted = [Wanted(step=step, serves=name) for name, step in (steps or STEPS).items()]
    assert Plan(want.step.base for want in wanted).run(store, jobs=1) == {}
    return export(folder, wanted, store, scale=scale, seeds=(0, 1), streams=streams)


def full(step: FineTune, store: Store) -> Tensors:
    """What full fine-tuning makes of a step's base model."""
    model = load_model(step.base, store)
    fit(model, step.task, step.train)
    return dict(model.state_dict())


def put(folder: Path, entry: Entry, tensors: Tensors) -> Path:
    """Save tuned weights where they belong."""
    safetensors.torch.save_file({name: t.clone() for name, t in tensors.items()}, file := folder / entry.tuned)
    return file


def fill(folder: Path, manifest: Manifest, store: Store) -> None:
    """All three, by full fine-tuning."""
    for entry, step in zip(manifest.entries, STEPS.values(), strict=True):
        put(folder, entry, full(step, store))


def change(folder: Path, how: Callable[[Any], object]) -> None:
    """Edit the manifest's JSON in place."""
    file = folder / "manifest.json"
    how(raw := json.loads(file.read_text()))
    file.write_text(json.dumps(raw))
