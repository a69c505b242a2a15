"""Carrying out a step: training or tuning a model, and packing it as tensors and metadata. Imports torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from capbench.errors import CapbenchError
from capbench.models.base import Model
from capbench.pipeline.recording import Curves, Progress, fit_meta
from capbench.pipeline.snapshots import Snapshots
from capbench.pipeline.steps import Compile, Distil, Edit, FineTune, Initialise, Load, Perturb, Pretrain, Revive, Step
from capbench.store.store import Store
from capbench.training.loop import fit, keeping, observing

Make = Callable[[], tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]]


def build(step: Step, store: Store, progress: Progress = lambda _: None, *, make: Make | None = None) -> None:
    """Make the step's artefact unless it is there; its parents must be there. Safe between processes.

    A training that was interrupted goes on from where its state was kept last. make: makes the tensors and metadata, instead of
    carrying out the step here.
    """

    def made() -> tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]:
        tensors, meta = make() if make is not None else _carry_out(step, store, progress)
        return tensors, {**meta, "torch": str(torch.__version__)}

    store.get_or_build(step.key, made, kind=type(step).__name__, config=step.config)
    Snapshots(store.root, step.key).remove()


def load_model(step: Step, store: Store) -> Model:
    """The model that a step made, in evaluation mode. Raises CapbenchError if its artefact is missing."""
    if isinstance(step, Load):
        read: Model = named(step.carried_out_by)(step)
        return read
    artefact = store.load(step.key)
    if artefact is None:
        raise CapbenchError(f"no artefact of '{step.label}' in {store.root}")
    return with_weights(step, store, artefact.tensors)


def with_weights(step: Step, store: Store, weights: Mapping[str, torch.Tensor]) -> Model:
    """A model of the architecture that a step makes, with these weights, in evaluation mode.

    Raises CapbenchError if a compiled model is missing that gives the architecture.
    """
    origin, added = step, 0
    while not isinstance(origin, (Initialise, Compile, Load)):
        added += origin.adds_blocks if isinstance(origin, Edit) else 0
        origin = origin.parents[0]
    # By name, so that the version of a model's code does not hang on architectures that it has nothing to do with.
    architecture: Any = named(origin.architecture)
    if isinstance(origin, (Initialise, Load)):
        config: Any = origin.model
    else:
        meta = store.meta(origin.key)
        if meta is None:
            raise CapbenchError(f"no artefact of '{origin.label}' in {store.root}")
        config = named("capbench.models.tracr:TracrConfig").from_json(meta["config"])
    model: Model = architecture(replace(config, n_blocks=config.n_blocks + added))
    model.load_state_dict(dict(weights))
    return model.eval()


def _carry_out(step: Step, store: Store, progress: Progress) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    snapshots = Snapshots(store.root, step.key)
    match step:
        case Initialise():
            architecture = named(step.architecture)
            model: Model = architecture.initialised(step.model, torch.Generator().manual_seed(step.seed))
            meta: dict[str, Any] = {}
        case Compile():
            model = _compile(step)
            config: Any = model.config  # the program's name is that of its last expression; the step knows better
            meta = {"config": {**config.to_json(), "program": step.name}}
        case Load():
            load_model(step, store)  # that it is what it was, and can be read
            return {}, {}
        case Perturb():
            model = load_model(step.start, store)
            rng = torch.Generator().manual_seed(step.seed)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=step.scale)
            meta = {}
        case Edit():
            edit = named(step.edit)
            rng = torch.Generator().manual_seed(step.seed)
            task = {} if step.task is None else {"task": step.task}
            model, meta = edit(load_model(step.start, store), rng=rng, **task, **step.arguments), {}
        case Pretrain():
            model = load_model(step.start, store)
            curves = Curves(step.watch, step.watch_every, progress)
            with observing(curves) as fits, keeping(snapshots.of(curves)):
                fit(model, step.task, step.train)
            meta = {**fit_meta(fits), "curves": curves.as_json()}
        case FineTune() | Distil():
            # By name: no base model's key hangs on how methods are called.
            found: tuple[dict[str, torch.Tensor], dict[str, Any]] = named(step.carried_out_by)(step, store, progress)
            return found
        case Revive():
            model = load_model(step.start, store)
            curves = Curves((step.watch,), step.watch_every, progress, goal=step.goal)
            curves.evaluate(0, model)
            with observing(curves) as fits, keeping(snapshots.of(curves)):
                named(step.relearn)(model, step.task, step.train)
            meta = {**fit_meta(fits), "curves": curves.as_json()}
            return {}, {**meta, **snapshots.spent()}
        case _:
            raise TypeError(f"no way to build a {type(step).__name__}")
    return model.state_dict(), {**meta, **snapshots.spent()}


def _compile(step: Compile) -> Model:
    program = named(step.program)(*step.arguments)
    compiled: Model = named(f"{step.architecture.partition(':')[0]}:compile_rasp")(
        program,
        vocab=set(step.vocabulary),
        max_seq_len=step.max_seq_len,
        compiler_bos=step.bos,
        compiler_pad=step.pad,
    )
    return compiled


def named(path: str) -> Any:
    """The code that `module:attribute` names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
