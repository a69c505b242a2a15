"""A model with adapters while it trains: its answers, computed by the architecture's own fast path."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from capbench.models.base import Activations, Model


class Adapted(Model):
    """inner: the model with PEFT's layers; plain: the model without them, whose `answer_logits` is the fast path.

    Some architectures' `answer_logits` bypasses PEFT's layers and reads weights directly (not `reads_modules`). An adapter that
    can be merged is an affine map, so its weights are read off the unit vectors and passed to the fast path. Otherwise (dropout,
    an adapter on something other than a linear map) answers come from the plain forward pass.
    """

    def __init__(self, inner: Model, plain: Model) -> None:
        super().__init__()
        self.inner = inner
        adapted = {n: m for n, m in inner.named_modules() if hasattr(m, "base_layer")}
        affine = all(isinstance(m.base_layer, nn.Linear) for m in adapted.values())
        dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in inner.modules())
        own_way = type(plain).answer_logits is not Model.answer_logits and not plain.reads_modules
        names = {name for name, _ in plain.named_parameters()}
        known = {name for name, _ in inner.named_parameters()}
        others = {name for name in names if name.rpartition(".")[0] not in adapted}
        fast = own_way and affine and not dropout and others <= known
        # Not registered as submodules: their parameters must not be trained, nor moved twice.
        self._fast: dict[str, Any] = {"answer": _Answer(plain), "adapted": adapted, "names": names} if fast else {}

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.inner(tokens)
        return logits

    def run_with_cache(self, tokens: Tensor, *, attention: bool = False) -> tuple[Tensor, Activations]:
        return self.inner.run_with_cache(tokens, attention=attention)

    def answer_logits(self, tokens: Tensor, position: int) -> Tensor:
        if not self._fast:
            way = self.inner.answer_logits if self.inner.reads_modules else super().answer_logits
            return way(tokens, position)
        answer = self._fast["answer"].to(tokens.device)
        weights: dict[str, Tensor] = {}
        for name in self._fast["names"]:
            module, _, kind = name.rpartition(".")
            if module not in self._fast["adapted"]:
                weights[f"model.{name}"] = self.inner.get_parameter(name)
            elif kind == "weight":
                weight, bias = _as_affine(self._fast["adapted"][module])
                weights[f"model.{module}.weight"] = weight
                if f"{module}.bias" in self._fast["names"]:
                    weights[f"model.{module}.bias"] = bias
        logits: Tensor = functional_call(answer, weights, (tokens, position))
        return logits


class _Answer(nn.Module):
    """A model whose forward pass is its `answer_logits`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        return self.model.answer_logits(tokens, position)


def _as_affine(layer: Any) -> tuple[Tensor, Tensor]:
    """Weight [out, in] and bias [out] of an affine layer: its outputs for the unit vectors and for zero."""
    base: nn.Linear = layer.base_layer
    units = torch.eye(base.in_features, device=base.weight.device, dtype=base.weight.dtype)
    given = layer(torch.cat([units, torch.zeros_like(units[:1])]))
    bias = given[-1]
    return (given[:-1] - bias).T, bias
