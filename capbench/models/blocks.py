"""What the architectures other than the GPT share: the GPT's blocks with another mixer of tokens in place of attention.

Source: MetaFormer (Yu et al. 2022, CVPR, arXiv 2111.11418). So two of them differ in how tokens are mixed and in nothing else.
The norms within blocks have no weights: the maps that read them do.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.models.base import Activations, Model, hooked
from capbench.models.sizes import BlocksConfig


class Mixer(nn.Module):
    """Mixes tokens: position t of its output, as wide as its input, depends on positions up to t.

    Subclasses implement `forward`. The map that reads the residual stream is called `read` (`qkv` in attention).
    """

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        raise NotImplementedError

    def start(self, seq_len: int, rng: torch.Generator) -> None:
        """Set what does not start like other weights and biases: how long things are remembered."""


class Block(nn.Module):
    """Pre-norm block: a mixer with a linear map, then an MLP of width 4 d_model, each added to the residual stream."""

    def __init__(self, config: BlocksConfig, mixer: Mixer) -> None:
        super().__init__()
        d = config.d_model
        self.norm1 = nn.LayerNorm(d, elementwise_affine=False)
        self.mixer = mixer
        self.out = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d, elementwise_affine=False)
        self.mlp_in = nn.Linear(d, 4 * d)
        self.mlp_out = nn.Linear(4 * d, d)
        self.activation = F.relu if config.activation == "relu" else F.gelu

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        return self._mlp(x + self.out(self.mixer(self.norm1(x))))

    def at_end(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch 1 d_model"]:
        """`forward` at the last position: the maps after the mixer run only there."""
        return self._mlp(x[:, -1:] + self.out(self.mixer(self.norm1(x))[:, -1:]))

    def _mlp(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.mlp_out(self.activation(self.mlp_in(self.norm2(x))))
        return added


class Blocks(Model):
    """Embedding, blocks, a final LayerNorm, and an untied unembedding. Subclasses say which mixer a block has.

    positions: whether the mixers need position embeddings, as they do not tell order by themselves.
    """

    reads_modules: ClassVar[bool] = True
    positions: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.seq_len, config.d_model) if self.positions else None
        self.blocks = nn.ModuleList(Block(config, self.mixer(config, i)) for i in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.d_model)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)

    @staticmethod
    def mixer(config: Any, block: int) -> Mixer:
        """The mixer of a block, 0 to n_blocks - 1."""
        raise NotImplementedError

    @classmethod
    def initialised(cls, config: Any, rng: torch.Generator) -> Self:
        """A model with weights drawn from `rng` alone, as the GPT's: N(0, 0.02), residual projections / sqrt(2 blocks).

        A mixer multiplies its maps with each other, so theirs give outputs of about 1: N(0, 1 / inputs).
        """
        with torch.device("meta"):
            empty = cls(config)
        model = empty.to_empty(device="cpu")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif "norm" in name:
                    parameter.fill_(1.0)
                elif ".mixer." in name:
                    parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=rng)
                else:
                    residual = name.endswith((".out.weight", "mlp_out.weight"))
                    std = 0.02 / math.sqrt(2 * config.n_blocks) if residual else 0.02
                    parameter.normal_(0.0, std, generator=rng)
            for block in model.blocks:
                cast(Block, block).mixer.start(config.seq_len, rng)
        return model

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        x = self._embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self._read_out(x)

    def answer_logits(self, tokens: Int[Tensor, "batch pos"], position: int) -> Float[Tensor, "batch vocab"]:
        """`forward` at one position: later positions are dropped, and most of the last block runs only there."""
        if not len(self.blocks) or hooked(self):
            return super().answer_logits(tokens, position)
        x = self._embed(tokens)[:, : position + 1]
        for block in self.blocks[:-1]:
            x = block(x)
        return self._read_out(cast(Block, self.blocks[-1]).at_end(x))[:, 0]

    def run_with_cache(
        self, tokens: Int[Tensor, "batch pos"], *, attention: bool = False
    ) -> tuple[Float[Tensor, "batch pos vocab"], Activations]:
        """Logits and the residual stream; there are no attention maps, whether asked for or not."""
        x = self._embed(tokens)
        resid = [x]
        for block in self.blocks:
            x = block(x)
            resid.append(x)
        return self._read_out(x), Activations(torch.stack(resid), None)

    def as_read(self, resid: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The stream normalised as by each LayerNorm."""
        return F.layer_norm(resid, resid.shape[-1:], eps=self.norm.eps)

    def _embed(self, tokens: Tensor) -> Tensor:
        self._passing(tokens)
        if tokens.shape[1] > self.config.seq_len:
            raise UsageError(f"string of {tokens.shape[1]} tokens; this model takes at most {self.config.seq_len}")
        embedded: Tensor = self.token_embedding(tokens)
        if self.position_embedding is not None:
            embedded = embedded + self.position_embedding.weight[: tokens.shape[1]]
        return embedded

    def _read_out(self, x: Tensor) -> Tensor:
        logits: Tensor = self.unembedding(self.norm(x))
        return logits
