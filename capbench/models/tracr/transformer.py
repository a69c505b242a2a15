"""A compiled RASP program as a torch model: attention and ReLU MLPs on a labelled residual stream, no normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.models.attention import future_mask
from capbench.models.base import Activations, Model, hooked
from capbench.models.tracr import factorised, ties
from capbench.models.tracr.config import TracrConfig, Value


class Output(NamedTuple):
    """The result of `apply` for one string, with the names of Tracr's own model.

    decoded: one value per position, BOS first. residuals: the stream after every half block, [pos, d_model] each.
    """

    decoded: list[Value]
    residuals: list[Float[Tensor, "pos d_model"]]
    attn: Float[Tensor, "layer head query key"]


class Block(nn.Module):
    """Attention, then a two-layer ReLU MLP, each added to the residual stream (Tracr: Lindner et al. 2023, arXiv 2301.05062)."""

    def __init__(self, config: TracrConfig) -> None:
        super().__init__()
        d, width = config.d_model, config.n_heads * config.key_size
        self.n_heads, self.causal = config.n_heads, config.causal
        self.query, self.key, self.value = nn.Linear(d, width), nn.Linear(d, width), nn.Linear(d, width)
        self.out = nn.Linear(width, d)
        self.mlp_in = nn.Linear(d, config.mlp_size)
        self.mlp_out = nn.Linear(config.mlp_size, d)

    def attend(
        self, x: Float[Tensor, "batch pos d_model"]
    ) -> tuple[Float[Tensor, "batch pos d_model"], Float[Tensor, "batch head query key"]]:
        """What attention adds to the residual stream, and its probabilities."""
        b, t, _ = x.shape
        q, k, v = (
            linear(x).view(b, t, self.n_heads, -1).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if self.causal:
            scores = scores.masked_fill(future_mask(t, x.device), -torch.inf)
        attn = scores.softmax(-1)
        return self.out((attn @ v).transpose(1, 2).reshape(b, t, -1)), attn

    def mlp(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What the MLP adds to the residual stream."""
        added: Tensor = self.mlp_out(F.relu(self.mlp_in(x)))
        return added


class TracrTransformer(Model):
    """The torch equivalent of Tracr's AssembledTransformerModel. Padding is not masked, as in Tracr.

    The unembedding is a fixed projection (a buffer; no parameter in Tracr either): a class for every output of a categorical
    program, or the single number of a numerical program.
    """

    unembedding: Tensor

    def __init__(self, config: TracrConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(len(config.vocabulary), config.d_model)
        self.position_embedding = nn.Embedding(config.max_seq_len, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        classes = 1 if config.outputs is None else len(config.outputs)
        self.register_buffer("unembedding", torch.zeros(classes, config.d_model))

    @property
    def residual_labels(self) -> tuple[str, ...]:
        """The meaning of each dimension of the residual stream in the compiled program."""
        return self.config.residual_labels

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos outputs"]:
        """Logits of the output classes at every position (for a numerical program: its value)."""
        return F.linear(self._halves(tokens)[0][-1], self.unembedding)

    def run_with_cache(
        self, tokens: Int[Tensor, "batch pos"], *, attention: bool = False
    ) -> tuple[Float[Tensor, "batch pos outputs"], Activations]:
        halves, maps = self._halves(tokens)
        logits = F.linear(halves[-1], self.unembedding)
        return logits, Activations(torch.stack(halves[::2]), torch.stack(maps) if attention else None)

    def answer_logits(self, tokens: Int[Tensor, "batch pos"], position: int) -> Float[Tensor, "batch outputs"]:
        """`forward` at one position, in less than half the time: see factorised.py.

        Where the program has no value, the answer is that of `apply` (ties.py); `forward` leaves it to rounding.
        """
        if hooked(self):
            return super().answer_logits(tokens, position)
        self._check(tokens)
        config, blocks = self.config, cast(Any, self.blocks)
        shape = factorised.Shape(
            vocab=len(config.vocabulary),
            n_blocks=config.n_blocks,
            n_heads=config.n_heads,
            value=config.n_heads * config.key_size,
            unit=config.mlp_size,
            causal=config.causal,
        )
        constants = [linear.bias for block in blocks for linear in (block.out, block.mlp_out)]
        features = [linear.weight.T for block in blocks for linear in (block.out, block.mlp_out)]
        positions = self.position_embedding.weight[: tokens.shape[1]]
        sources = torch.cat([self.token_embedding.weight, positions, torch.stack(constants), *features])
        of_blocks = [(block.query, block.key, block.value, block.mlp_in) for block in blocks]
        readers = [torch.cat([linear.weight for linear in linears]) for linears in of_blocks]
        bias = [torch.cat([linear.bias for linear in linears]) for linears in of_blocks]
        logits = factorised.answer_logits(tokens, position, shape, sources, self.unembedding, readers, bias)
        ties.settle(self, tokens, logits, position)
        return logits

    def apply(self, tokens: Sequence[Value]) -> Output:  # type: ignore[override]
        """Run the program on one string of tokens, BOS first, as Tracr's AssembledTransformerModel.apply does.

        Where the program has no value, as where Aggregate selects no position, the answer is any class: ties.py says which.

        Raises UsageError for a missing BOS, an unknown token, or a string longer than the program was compiled for.
        """
        ids = torch.tensor([self.encode(tokens)], device=self.unembedding.device)
        with torch.no_grad():
            halves, maps = self._halves(ids)
            logits = F.linear(halves[-1], self.unembedding)
        outputs = self.config.outputs
        if outputs is None:
            decoded: list[Value] = logits[0, :, 0].tolist()
        else:
            if not hooked(self):
                ties.settle_all(self, ids, logits)
            decoded = [outputs[i] for i in logits[0].argmax(-1).tolist()]
        return Output(
            decoded=[self.config.bos, *decoded[1:]],  # as in Tracr: the value at BOS is unspecified
            residuals=[half[0] for half in halves[1:]],
            attn=torch.stack([m[0] for m in maps]),
        )

    def encode(self, tokens: Sequence[Value]) -> list[int]:
        """Token ids of a string. Raises UsageError as `apply`."""
        config = self.config
        if not tokens or tokens[0] != config.bos:
            raise UsageError(
                f"program {config.program!r}: the string must begin with BOS {config.bos!r}, got {list(tokens)[:1]}"
            )
        index = {token: i for i, token in enumerate(config.vocabulary)}
        for token in tokens:
            if token not in index:
                known = ", ".join(map(repr, config.vocabulary))
                raise UsageError(f"program {config.program!r}: token {token!r} is not in its vocabulary: {known}")
        if len(tokens) > config.max_seq_len:
            raise UsageError(
                f"program {config.program!r}: a string of {len(tokens)} tokens, BOS included; "
                f"it was compiled for at most {config.max_seq_len}"
            )
        return [index[token] for token in tokens]

    def _halves(self, tokens: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The residual stream after the embedding and every half block, and the attention map of every block."""
        self._check(tokens)
        x = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        halves, maps = [x], []
        for block in self.blocks:
            added, attn = block.attend(x)  # type: ignore[operator]
            x = x + added
            halves.append(x)
            x = x + block.mlp(x)  # type: ignore[operator]
            halves.append(x)
            maps.append(attn)
        return halves, maps

    def _check(self, tokens: Tensor) -> None:
        self._passing(tokens)
        if tokens.shape[1] > self.config.max_seq_len:
            raise UsageError(
                f"string of {tokens.shape[1]} tokens; program {self.config.program!r} was compiled for at most "
                f"{self.config.max_seq_len}, BOS included"
            )
