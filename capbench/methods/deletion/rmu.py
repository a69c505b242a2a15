"""Representation misdirection: at one layer, activations on the forget stream are steered to a random direction, others stay.

Source: RMU of Li et al. 2024 (WMDP), arXiv 2403.03218.
"""

from __future__ import annotations

import copy
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.streams import above_zero, beside, generator, kept, on_device
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss


@runtime_checkable
class StopsAtALayer(Protocol):
    """A model that computes no more than it is asked for: large ones take several times as long for the rest."""

    def stream_at(self, tokens: Tensor, layer: int) -> Tensor: ...


def rmu(
    model: Model,
    task: FineTuningTask,
    config: TrainConfig,
    *,
    layer: int | None = None,
    steering: float = 3.0,
    alpha: float = 10.0,
) -> Model:
    """Minimise |h(forget) - c u|^2 + alpha |h(others) - h_before(others)|^2, at all positions, plus the loss on the kept stream.

    layer: of the residual stream, 0 is the embedding; None: the middle one. u: a random unit vector.
    steering: c as a multiple of the mean length of h_before(forget); both distances are in units of its mean square. (In the
    paper c and alpha are absolute numbers, tuned per model; relative ones mean the same in every model.)
    alpha: how firmly the other families are held; without any (compiled models) the term is absent.
    Not in the paper: the loss on the kept stream, as O_FT must be learned too; and all parameters train, not only three layers'.
    As many steps as full fine-tuning, three times its tokens (the other families need their own batch), and a forward pass of
    the original model. Raises MethodError for a layer that does not exist, or a steering or alpha that is not above 0.
    """
    above_zero("rmu", steering=steering, alpha=alpha)
    tuned = copy.deepcopy(model).requires_grad_(True)
    frozen = copy.deepcopy(model).requires_grad_(False).to(config.device).eval()
    forget = beside(task.forget, config)
    others = None if task.others is None else beside(task.others, config, 2)
    with torch.no_grad():
        strings = on_device(task.forget.sample(config.batch_size, generator(config, 3)), config)
        resid = frozen.run_with_cache(strings.tokens)[1].resid
    at = layer_of(layer, len(resid))
    aim = steered_to(resid[at], steering, generator(config, 4))
    unit = resid[at].square().mean()

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        value = F.mse_loss(h := residual(model, next(forget), at), aim.expand_as(h)) / unit
        if others is not None:
            strings = next(others)
            with torch.no_grad():
                before = residual(frozen, strings, at)
            value = value + alpha * F.mse_loss(residual(model, strings, at), before) / unit
        return next_token_loss(model, batch, stream) + value

    fit(tuned, kept(task), config, loss=loss)
    return tuned


def layer_of(layer: int | None, n_layers: int) -> int:
    """The layer asked for, or the middle one. Raises MethodError for one that does not exist."""
    if layer is None:
        return n_layers // 2
    if not isinstance(layer, int) or not 0 <= layer < n_layers:
        raise MethodError(
            f"rmu: layer={layer!r} must be a layer of the residual stream, 0 to {n_layers - 1} in this model"
        )
    return layer


def steered_to(
    before: Float[Tensor, "batch pos d_model"], steering: float, rng: torch.Generator
) -> Float[Tensor, " d_model"]:
    """A random direction, entries uniform on 0 to 1 as in the paper, `steering` times as long as these activations on average."""
    direction = torch.rand(before.shape[-1], generator=rng).to(before)
    length: Tensor = steering * before.norm(dim=-1).mean() / direction.norm()
    return length * direction


def residual(model: Model, batch: Batch, layer: int) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream at one layer. Models that can stop there do."""
    if isinstance(model, StopsAtALayer):
        return model.stream_at(batch.tokens, layer)
    at_layer: Tensor = model.run_with_cache(batch.tokens)[1].resid[layer]
    return at_layer
