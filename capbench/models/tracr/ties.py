"""Which class a compiled model answers where its program has no value (None): the one that Tracr's model answers with AVX2.

There nothing writes to the output's dimensions, and logits are what attention leaks to positions that are not selected: 1e-9,
say. In single precision 1 + 1e-9 - 1 is 0 or 1e-9, as the order of the sum has it, so two ways of computing the same function
would answer differently, and Tracr's own model does on another processor (one with AVX-512, say). These rows are computed again,
so that they depend on neither batch nor way nor machine:

- an MLP's input is summed as Tracr's model does on a CPU with AVX2: in single precision, in the order of the residual dimensions;
- everything else is in double precision;
- classes that are equal but for rounding share their logit, and the first of them is the answer, as argmax has it in Tracr.

The order of the dimensions is that of their labels. In Tracr these have numbers that depend on what the process built before,
so its own answer may do so, too; here they do not (`compile_rasp`). Rows with a value are as they were computed, to the bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from capbench.models.attention import future_mask

if TYPE_CHECKING:
    from capbench.models.tracr.config import TracrConfig
    from capbench.models.tracr.transformer import TracrTransformer

_EQUAL = 1e-5  # relative difference of logits that count as equal


@torch.no_grad()
def settle(model: TracrTransformer, tokens: Int[Tensor, "batch pos"], logits: Tensor, position: int) -> None:
    """Settles, in place, the rows of logits [batch, outputs] at a position at which the program has no value."""
    undecided = _undecided(model.config, logits)
    if undecided.any():
        logits[undecided] = _settled(model, tokens[undecided])[:, position].to(logits)


@torch.no_grad()
def settle_all(model: TracrTransformer, tokens: Int[Tensor, "batch pos"], logits: Tensor) -> None:
    """The same for logits [batch, pos, outputs] at every position except BOS, whose answer is not used."""
    undecided = _undecided(model.config, logits)
    undecided[:, 0] = False
    strings = undecided.any(-1)
    if strings.any():
        settled = _settled(model, tokens[strings])
        logits[undecided] = settled[undecided[strings].to(settled.device)].to(logits)


def _undecided(config: TracrConfig, logits: Tensor) -> Tensor:
    """Of each row, [...]: whether it is only leaks and rounding. Where all are 0, rounding may have taken the leaks."""
    if config.outputs is None or len(config.outputs) < 2:
        return torch.zeros(logits.shape[:-1], dtype=torch.bool, device=logits.device)
    return logits.abs().amax(-1) < _leak(config)


def _leak(config: TracrConfig) -> float:
    """More than rounding and what attention leaks: in Tracr selected positions score 50 or more above others, before scaling."""
    return 1e-4 + 2 * config.max_seq_len * math.exp(-50 / math.sqrt(config.key_size))


def _settled(model: TracrTransformer, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos outputs"]:
    """On the CPU, so that the answers do not depend on a device."""

    def exact(tensor: Tensor) -> Tensor:
        return tensor.detach().to("cpu", torch.float64)

    tokens = tokens.cpu()
    (b, t), heads = tokens.shape, model.config.n_heads
    x = exact(model.token_embedding.weight)[tokens] + exact(model.position_embedding.weight)[:t]
    for block in model.blocks:
        weight, bias = ({n: exact(getattr(m, kind)) for n, m in block.named_children()} for kind in ("weight", "bias"))

        def through(name: str, x: Tensor, w: dict[str, Tensor] = weight, b: dict[str, Tensor] = bias) -> Tensor:
            return F.linear(x, w[name], b[name])

        q, k, v = (through(n, x).view(b, t, heads, -1).transpose(1, 2) for n in ("query", "key", "value"))
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if model.config.causal:
            scores = scores.masked_fill(future_mask(t, scores.device), -torch.inf)
        x = x + through("out", (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
        hidden = (_summed_in_order(x.float(), weight["mlp_in"].float()) + bias["mlp_in"].float()).double()
        x = x + through("mlp_out", F.relu(hidden))
    logits = F.linear(x, exact(model.unembedding))
    top = logits.amax(-1, keepdim=True)
    return torch.where(logits >= top - _EQUAL * top.abs(), top, logits)


def _summed_in_order(x: Float[Tensor, "batch pos d_model"], weight: Float[Tensor, "unit d_model"]) -> Tensor:
    """x @ weight.T, added up dimension by dimension."""
    total = x.new_zeros(*x.shape[:-1], len(weight))
    for i in weight.any(0).nonzero().flatten().tolist():
        total += x[..., i, None] * weight[:, i]
    return total
