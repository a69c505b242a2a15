"""An architecture of one's own: a recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from capbench import Activations, Model, ModelConfig


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(ModelConfig):
    """d_model: the width of the state."""

    d_model: int


class Recurrent(Model):
    """GRU layers, each added to the residual stream."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(
            nn.GRU(config.d_model, config.d_model, batch_first=True) for _ in range(config.n_blocks)
        )
        self.unembedding = nn.Linear(config.d_model, config.vocab_size)

    @classmethod
    def initialised(cls, config: RecurrentConfig, rng: torch.Generator) -> Self:
        """All weights from N(0, 0.2), drawn from `rng` alone."""
        model = cls(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.0, 0.2, generator=rng)
        return model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits, Float[batch, pos, vocab], of tokens, Int[batch, pos]."""
        return self.run_with_cache(tokens)[0]

    def run_with_cache(self, tokens: torch.Tensor, *, attention: bool = False) -> tuple[torch.Tensor, Activations]:
        """Logits and the residual stream after the embedding and each layer; there are no attention maps."""
        self._passing(tokens)
        resid = [self.embedding(tokens)]
        for layer in self.layers:
            resid.append(resid[-1] + layer(resid[-1])[0])
        return self.unembedding(resid[-1]), Activations(torch.stack(resid), None)
