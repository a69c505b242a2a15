"""The one interface of all architectures: logits, and a cache of residual stream and attention."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import nn


class Activations(NamedTuple):
    """resid: the residual stream after the embedding (layer 0) and after every block, at all positions.

    attn: attention probabilities per block and head, or None if not requested or without attention.
    """

    resid: Float[torch.Tensor, "layer batch pos d_model"]
    attn: Float[torch.Tensor, "layer batch head query key"] | None


# Called with the tokens of every pass through a model: counts a method's cost without its help.
passes: ContextVar[Callable[[torch.Tensor], object] | None] = ContextVar("capbench_passes", default=None)
# Called for optimizer steps that are carried out elsewhere for a training (stacking/).
steps_elsewhere: ContextVar[Callable[[], object] | None] = ContextVar("capbench_steps_elsewhere", default=None)


class Model(nn.Module):
    """A sequence model over tokens. Subclasses implement `forward` and `run_with_cache`, and report what passes (`_passing`).

    A subclass is built from its configuration alone, `Subclass(config)`; `initialised` draws its weights.

    reads_modules: whether `answer_logits` calls the linear maps as modules, so that adapters put in their place are seen.
    """

    reads_modules: ClassVar[bool] = False

    @classmethod
    def initialised(cls, config: Any, rng: torch.Generator) -> Self:
        """A model with weights drawn from `rng` alone. Only architectures that are trained from scratch have it."""
        raise NotImplementedError

    def _passing(self, tokens: Int[torch.Tensor, "batch pos"]) -> None:
        told = passes.get()
        if told is not None:
            told(tokens)

    def forward(self, tokens: Int[torch.Tensor, "batch pos"]) -> Float[torch.Tensor, "batch pos vocab"]:
        """Logits of the next token at every position."""
        raise NotImplementedError

    def answer_logits(
        self, tokens: Int[torch.Tensor, "batch pos"], position: int
    ) -> Float[torch.Tensor, "batch vocab"]:
        """`forward` at one position. Architectures that can save work override it, for models that are not `hooked`."""
        logits: torch.Tensor = self(tokens)
        return logits[:, position]

    def run_with_cache(
        self, tokens: Int[torch.Tensor, "batch pos"], *, attention: bool = False
    ) -> tuple[Float[torch.Tensor, "batch pos vocab"], Activations]:
        """Logits and activations; attention=True computes the attention maps too, which is slower."""
        raise NotImplementedError

    def as_read(self, resid: Float[torch.Tensor, "*any d_model"]) -> Float[torch.Tensor, "*any d_model"]:
        """The residual stream as the parts that read it see it, up to a fixed linear map: without what their norms remove."""
        return resid

    def neurons(self) -> dict[str, nn.Linear]:
        """The linear maps whose rows count as neurons for pruning: all except the unembedding, whose rows are answers."""
        return {n: m for n, m in self.named_modules() if isinstance(m, nn.Linear) and n != "unembedding"}


def hooked(model: nn.Module) -> bool:
    """Whether a module has hooks, which may observe or change its values: then the whole `forward` must run."""
    return any(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
        for module in model.modules()
    )
