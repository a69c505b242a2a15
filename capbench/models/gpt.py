"""A pre-norm GPT (Radford et al. 2019; the paper's minGPT with d_model 192, 6 blocks, 6 heads: App. C.2)."""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.models.attention import attention_at_end, causal_attention, future_mask, heads, merged
from capbench.models.base import Activations, Model, hooked


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The output of attention; no dropout."""
        mixed: Tensor = self.out(causal_attention(self.qkv(x), self.n_heads))
        return mixed

    def at_end(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch 1 d_model"]:
        """`forward` at the last position."""
        mixed: Tensor = self.out(attention_at_end(self.qkv(x), self.n_heads))
        return mixed

    def with_map(self, x: Tensor) -> tuple[Tensor, Float[Tensor, "batch head query key"]]:
        """`forward` without the fused kernel, and the attention probabilities."""
        q, k, v = heads(self.qkv(x), self.n_heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        attn = scores.masked_fill(future_mask(x.shape[1], x.device), -torch.inf).softmax(-1)
        return self.out(merged(attn @ v)), attn


class Block(nn.Module):
    """Pre-norm block: attention, then a GELU MLP of width 4 d_model, each added to the residual stream."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        d = config.d_model
        self.norm1 = nn.LayerNorm(d)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(d)
        self.mlp_in = nn.Linear(d, 4 * d)
        self.mlp_out = nn.Linear(4 * d, d)
        self.activation = F.relu if config.activation == "relu" else F.gelu

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        return self.mlp(x + self.attn(self.norm1(x)))

    def at_end(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch 1 d_model"]:
        """`forward` at the last position, in half the time: the MLP runs at one position."""
        return self.mlp(x[:, -1:] + self.attn.at_end(self.norm1(x)))

    def mlp(self, x: Tensor) -> Tensor:
        """Add the MLP's output to the residual stream."""
        added: Tensor = x + self.mlp_out(self.activation(self.mlp_in(self.norm2(x))))
        return added

    def with_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output and its attention map."""
        mixed, attn = self.attn.with_map(self.norm1(x))
        return self.mlp(x + mixed), attn


class Gpt(Model):
    """Learned position embeddings, final LayerNorm, and an untied unembedding, so that it can train alone."""

    reads_modules: ClassVar[bool] = True

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.seq_len, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.d_model)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)

    @classmethod
    def initialised(cls, config: GptConfig, rng: torch.Generator) -> Gpt:
        """A model with GPT-2's initialisation, drawn from `rng` alone: N(0, 0.02), residual projections / sqrt(2 blocks)."""
        with torch.device("meta"):
            empty = cls(config)
        model = empty.to_empty(device="cpu")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif "norm" in name:
                    parameter.fill_(1.0)
                else:
                    residual = name.endswith(("attn.out.weight", "mlp_out.weight"))
                    std = 0.02 / math.sqrt(2 * config.n_blocks) if residual else 0.02
                    parameter.normal_(0.0, std, generator=rng)
        return model

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        x = self._embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self._read_out(x)

    def answer_logits(self, tokens: Int[Tensor, "batch pos"], position: int) -> Float[Tensor, "batch vocab"]:
        """`forward` at one position: later positions are dropped, and the last block runs only there."""
        if not len(self.blocks) or hooked(self):
            return super().answer_logits(tokens, position)
        x = self._embed(tokens)[:, : position + 1]
        for block in self.blocks[:-1]:
            x = block(x)
        return self._read_out(cast(Block, self.blocks[-1]).at_end(x))[:, 0]

    def run_with_cache(
        self, tokens: Int[Tensor, "batch pos"], *, attention: bool = False
    ) -> tuple[Float[Tensor, "batch pos vocab"], Activations]:
        x = self._embed(tokens)
        resid, maps = [x], []
        for block in self.blocks:
            if attention:
                x, attn = block.with_map(x)  # type: ignore[operator]
                maps.append(attn)
            else:
                x = block(x)
            resid.append(x)
        return self._read_out(x), Activations(torch.stack(resid), torch.stack(maps) if attention else None)

    def as_read(self, resid: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The stream normalised as by each LayerNorm, before its weight and bias."""
        return F.layer_norm(resid, resid.shape[-1:], eps=self.norm.eps)

    def _embed(self, tokens: Tensor) -> Tensor:
        self._passing(tokens)
        if tokens.shape[1] > self.config.seq_len:
            raise UsageError(f"string of {tokens.shape[1]} tokens; this model takes at most {self.config.seq_len}")
        embedded: Tensor = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        return embedded

    def _read_out(self, x: Tensor) -> Tensor:
        logits: Tensor = self.unembedding(self.norm(x))
        return logits
