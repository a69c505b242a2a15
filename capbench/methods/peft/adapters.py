"""Adapters of the PEFT library on our models: added, trained and merged back, so a plain model is returned."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.peft.adapted import Adapted
from capbench.methods.peft.configs import kind_of, peft_library, read, resolved, shortened
from capbench.methods.peft.matched import check_wrapped
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import Loss, fit, next_token_loss


def from_config(file: Path) -> Callable[[Model, FineTuningTask, TrainConfig], Model]:
    """The method that trains the adapter of a PEFT `adapter_config.json`, or of that file in a folder.

    Raises MethodError for a file that cannot be read, an unknown type or key, or a type that cannot be merged.
    """
    adapter, method = _read(file)

    def tune(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
        return tuned_by_adapter(
            model, task, config, _tried(adapter, model, method, config.seed, config.device), method=method
        )

    return tune


def check_config(file: Path, model: Model) -> None:
    """Try the adapter of such a file on a model, without training it.

    Raises MethodError as `from_config` does, and for an adapter that does not fit the model or a setting that takes no effect.
    """
    adapter, method = _read(file)
    _tried(adapter, model, method, seed=0)


def _read(file: Path) -> tuple[Any, str]:
    file = file / "adapter_config.json" if file.is_dir() else file
    method = f"peft:{file.name}"
    return read(file, method), method


def _tried(adapter: Any, model: Model, method: str, seed: int, device: str = "cpu") -> Any:
    """The config for this model. One that cannot be put on it, or merged into it, is refused before it is trained."""
    fitted = resolved(adapter, model, method)
    with _seeded(seed, device):
        _merged(_put_on(model, fitted, method), model, fitted, method)
    return fitted


def tuned_by_adapter(
    model: Model,
    task: Task,
    config: TrainConfig,
    adapter: Any,
    *,
    method: str,
    prepare: Callable[[nn.Module], None] = lambda _: None,
) -> Model:
    """Add a PEFT adapter to a copy of the model, train it for `config.steps` steps and merge it into the weights.

    adapter: a PeftConfig. method: its name in errors. prepare: called with the adapted model before training.
    Weight decay is off for (IA)^3, whose factors start at 1. Raises MethodError for an adapter that does not fit the model.
    """
    if adapter.peft_type == "IA3":
        config = dataclasses.replace(config, weight_decay=0.0)
    with _seeded(config.seed, config.device):
        wrapped = _put_on(model, adapter, method)
        _refuse_rows_of_zeros(wrapped, method)
        prepare(wrapped)
        fit(Adapted(wrapped.get_base_model(), copy.deepcopy(model)), task, config, loss=_none_idle(method))
        return _merged(wrapped, model, adapter, method).requires_grad_(True).eval()


@contextlib.contextmanager
def _seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """PEFT draws weights and dropout from torch's global generators: seeded here and restored afterwards."""
    cuda = list(range(torch.cuda.device_count())) if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _lenient() -> Iterator[None]:
    """PEFT warns about models it does not know: show the warning, but never raise it as an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _put_on(model: Model, adapter: Any, method: str) -> Any:
    """A copy of the model wrapped by PEFT, on the CPU so that an adapter's initial weights do not depend on the device."""
    library = peft_library(method)
    try:
        with _lenient():
            wrapped = library.get_peft_model(copy.deepcopy(model).cpu(), copy.deepcopy(adapter))  # PEFT changes both
    except Exception as error:
        raise MethodError(f"{method}: PEFT cannot add this adapter to the model: {shortened(error)}") from error
    check_wrapped(wrapped, model, adapter, method)
    return wrapped


def _merged(wrapped: Any, model: Model, adapter: Any, method: str) -> Model:
    try:
        with _lenient():
            merged = wrapped.merge_and_unload()
    except Exception as error:
        kind = kind_of(adapter)
        why = f" ({shortened(error)})" if str(error) else ""
        raise MethodError(f"{method}: an adapter of type {kind} cannot be merged into the weights{why}") from error
    before, after = model.state_dict(), merged.state_dict()
    odd = sorted(k for k in before.keys() | after.keys() if k not in after or k not in before)
    if type(merged) is not type(model) or odd:
        raise MethodError(
            f"{method}: an adapter of type {kind_of(adapter)} leaves parts behind after merging: {', '.join(odd)[:200]}"
        )
    found: Model = merged
    return found


def _none_idle(method: str) -> Loss:
    """The usual loss. At the first step it checks that every adapted part affects the answers.

    A part that is not called (position embeddings are read by index) would otherwise stay untrained silently.
    Raises MethodError for such a part.
    """
    seen = False

    def loss(model: Model, batch: Batch, task: Task) -> Tensor:
        nonlocal seen
        value = next_token_loss(model, batch, task)
        if not seen:
            trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
            reached: Sequence[Tensor | None] = [None] * len(trained)
            if value.requires_grad:
                reached = torch.autograd.grad(value, list(trained.values()), retain_graph=True, allow_unused=True)
            idle = [name for name, gradient in zip(trained, reached, strict=True) if gradient is None]
            if idle := [name for name in idle if not name.startswith(_dropped(model))]:
                part = idle[0].removeprefix("inner.")
                raise MethodError(f"{method}: {part!r} does not affect the model's answers; adapt its linear maps")
            seen = True
        if not value.requires_grad:  # every adapter was dropped from this step
            value = value + 0 * next(p for p in model.parameters() if p.requires_grad).sum()
        return value

    return loss


def _dropped(model: Model) -> tuple[str, ...]:
    """The parts that `module_dropout` leaves out of some steps, as prefixes of their weights' names."""
    return tuple(f"{name}." for name, part in model.named_modules() if any(_module_dropout(part).values()))


def _module_dropout(part: nn.Module) -> dict[str, float]:
    found = getattr(part, "module_dropout", None)
    return found if isinstance(found, dict) else {}


def _refuse_rows_of_zeros(wrapped: nn.Module, method: str) -> None:
    for name, lengths in wrapped.named_parameters():
        before, found, _ = name.partition(".lora_magnitude_vector.")
        if found and not bool(lengths.all()):
            part = before.removeprefix("base_model.model.")
            raise MethodError(f"{method}: DoRA divides by row lengths, and {part!r} has a row of zeros; use lora")
