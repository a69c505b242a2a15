"""Fine-tuning a model by a method, and what is checked before anything is measured on the result.

A user's method is called in a process of its own (isolated.py), a method of capbench in this one. Either way a `Handed` comes
back: weights, and what the model itself answered. The weights are kept only if they tell what the model answers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from capbench.errors import MethodError
from capbench.methods.base import FineTuneMethod
from capbench.methods.opened import recording
from capbench.methods.returned import checked
from capbench.methods.specs import registry
from capbench.methods.specs.user_code import one_line
from capbench.models.base import Model
from capbench.pipeline.answers import Question, alike, answers, questions
from capbench.pipeline.budget import counting
from capbench.pipeline.build import build, load_model, with_weights
from capbench.pipeline.isolated import called_apart
from capbench.pipeline.process_state import Settings
from capbench.pipeline.recording import Curves, Progress, fit_meta
from capbench.pipeline.snapshots import Snapshots
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store
from capbench.training.loop import keeping, observing


@dataclass(frozen=True, kw_only=True)
class Handed:
    """What a call of a method gave. answers: of the returned model, see answers.py; none if its training diverged."""

    weights: Mapping[str, torch.Tensor]
    meta: Mapping[str, Any]
    answers: Mapping[str, torch.Tensor]


def carry_out(step: FineTune, store: Store, progress: Progress) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The fine-tuned weights and what was recorded. Raises MethodError, one line, for a method that cannot be judged."""
    if step.method.is_the_users:
        (handed,) = called_apart([step], store, progress)
        if isinstance(handed, Exception):
            raise handed
    else:
        handed = call(step, store, progress)
    return accepted(step, store, handed)


def build_apart(steps: Sequence[FineTune], store: Store, progress: Progress, *, most: int) -> list[Exception | None]:
    """Make the artefacts of several steps of one user's method, called in one new process, up to `most` trainings in a stack.

    Returns why each failed, or None. The caller holds their locks.
    """
    return [
        _kept(step, store, handed)
        for step, handed in zip(steps, called_apart(steps, store, progress, most=most), strict=True)
    ]


def _kept(step: FineTune, store: Store, handed: Handed | Exception) -> Exception | None:
    if isinstance(handed, Exception):
        return handed
    try:
        build(step, store, make=lambda: accepted(step, store, handed))
    except Exception as error:
        return error
    return None


def call(step: FineTune, store: Store, progress: Progress) -> Handed:
    """Call the method in this process, and watch it. Raises MethodError for a method that fails."""
    snapshots = Snapshots(store.root, step.key)
    base = load_model(step.base, store)
    asked = questions(step.task)
    settings = Settings()
    with counting() as budget, recording() as opened:
        curves = Curves(step.watch, step.watch_every, progress, budget=budget)
        with observing(curves) as fits, keeping(snapshots.of(curves)):
            curves.evaluate(0, base)
            model = _tuned(step, base)
    settings.restore()  # they are not the model's: neither its answers nor what comes next may hang on them
    found = fit_meta(fits)
    weights = model.state_dict()
    diverged = found["diverged"] or not all(bool(torch.isfinite(w).all()) for w in weights.values())
    meta = {**found, "diverged": diverged, "curves": curves.as_json(), "budget": budget.as_json()}
    meta |= {"steps": budget.steps, **snapshots.spent()}
    meta |= opened.told(registry.files(step.method), own=(store.root,))
    return Handed(weights=weights, meta=meta, answers={} if diverged else _answers(step, model, asked))


def _tuned(step: FineTune, base: Model) -> Model:
    """What the method returns for a copy of the base model, in evaluation mode."""
    method: FineTuneMethod = registry.load(step.method)
    name = step.method.name
    try:
        tuned: Any = method(copy.deepcopy(base), step.task, step.train)
    except MethodError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"method {name!r} failed: {one_line(error)}") from error
    return checked(tuned, base, name, device=step.train.device).eval()


def _answers(step: FineTune, model: Model, asked: Mapping[str, Question]) -> dict[str, torch.Tensor]:
    try:
        return answers(model, asked)
    except Exception as error:
        raise MethodError(
            f"method {step.method.name!r} returned a model that cannot answer: {one_line(error)}"
        ) from error


def accepted(step: FineTune, store: Store, handed: Handed) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights and metadata to keep.

    changed: whether any weight differs from the base model's. Raises MethodError where the weights, put in a fresh model, do not
    answer as the returned model did, or where answers are NaN.
    """
    before = load_model(step.base, store).state_dict()
    weights = dict(handed.weights)
    changed = any(not torch.equal(weights[name].cpu(), before[name]) for name in before)
    if not handed.meta["diverged"]:
        _check_answers(step, store, handed)
    return weights, {**handed.meta, "changed": changed}


def _check_answers(step: FineTune, store: Store, handed: Handed) -> None:
    name = step.method.name
    if nan := [stream for stream, logits in handed.answers.items() if bool(logits.isnan().any())]:
        largest = max(float(w.abs().max()) for w in handed.weights.values() if w.numel() and w.is_floating_point())
        raise MethodError(
            f"method {name!r} returned a model that answers NaN (on {nan[0].partition('.')[0]!r}) though its weights are finite; "
            f"the largest is {largest:.3g}: keep them small enough for float32"
        )
    device = next(iter(handed.weights.values())).device
    fresh = answers(with_weights(step, store, handed.weights).to(device), questions(step.task))
    if not alike(handed.answers, fresh):
        raise MethodError(
            f"method {name!r} returned a model that its weights do not tell all about: saved and loaded, it answers differently "
            "(a hook, a patch, a wrapper or an unmerged adapter is lost); put the change into the weights"
        )
