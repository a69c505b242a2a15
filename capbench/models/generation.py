"""Going on with strings, token by token: the most likely token each time, or one drawn. Many strings at once.

A GPT keeps its keys and values, so that a further token costs one position. Other architectures, and a GPT that was changed
inside or has hooks, run from the first token each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from capbench.errors import NoAnswerError, UsageError
from capbench.models.attention import heads, merged
from capbench.models.base import Model, hooked
from capbench.models.gpt import Attention, Block, Gpt

NextLogits = Callable[[Tensor, int], Tensor]  # all tokens so far, and how many of them are new -> logits, [batch vocab]


@torch.no_grad()
def generate(
    model: Model,
    prompts: Int[Tensor, "batch pos"],
    n: int,
    *,
    end: int | None = None,
    temperature: float = 0.0,
    rng: torch.Generator | None = None,
) -> Int[Tensor, "batch n"]:
    """The next n tokens of each prompt, on the prompts' device.

    temperature: 0 takes the most likely token; 1 draws from the model's distribution, more flattens it. Drawing needs rng, a
    generator on the CPU, and depends on nothing else. end: the token that ends a string; what follows it is `end` again, and
    generation stops when all strings have ended.
    Raises UsageError for prompts that leave no room for n tokens and for drawing without rng, NoAnswerError for NaN.
    """
    if not prompts.shape[1]:
        raise UsageError("nothing to go on with: prompts need at least one token")
    room = getattr(getattr(model, "config", None), "seq_len", None)
    if room is not None and prompts.shape[1] + n - 1 > room:  # the last token need not be read
        raise UsageError(
            f"{n} tokens after prompts of {prompts.shape[1]}; this model takes at most {room}, so {room + 1 - prompts.shape[1]}"
        )
    if temperature < 0 or (temperature > 0 and rng is None):
        raise UsageError(f"temperature {temperature!r} must be 0, or above 0 with rng to draw from")
    was_training = model.training
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    logits_of = _cached(cast(Gpt, model), len(prompts), prompts.shape[1] + n) if caches(model) else _plain(model)
    tokens, new = prompts.to(device), prompts.shape[1]
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for done in range(n):
        found = _chosen(logits_of(tokens, new), temperature, rng)
        if end is not None:
            found = torch.where(ended, torch.full_like(found, end), found)
            ended |= found == end
        tokens, new = torch.cat([tokens, found[:, None]], 1), 1
        if end is not None and bool(ended.all()):
            rest = torch.full((len(prompts), n - done - 1), end, dtype=tokens.dtype, device=device)
            tokens = torch.cat([tokens, rest], 1)
            break
    model.train(was_training)
    return tokens[:, prompts.shape[1] :].to(prompts.device)


def caches(model: Model) -> bool:
    """Whether keys and values of this model can be kept: a GPT whose blocks are those of `models/gpt.py`, without hooks."""
    return (
        type(model) is Gpt
        and not hooked(model)
        and all(type(block) is Block and type(block.attn) is Attention for block in model.blocks)
    )


def _chosen(
    logits: Float[Tensor, "batch vocab"], temperature: float, rng: torch.Generator | None
) -> Int[Tensor, " batch"]:
    if without := int(logits.isnan().any(-1).sum()):
        raise NoAnswerError(f"its answers are NaN on {without} of {len(logits)} strings")
    if not temperature:
        return logits.argmax(-1)
    p = (logits.float() / temperature).softmax(-1).cpu()
    return torch.multinomial(p, 1, generator=rng)[:, 0].to(logits.device)


def _plain(model: Model) -> NextLogits:
    return lambda tokens, new: model.answer_logits(tokens, tokens.shape[1] - 1)


def _cached(model: Gpt, batch: int, length: int) -> NextLogits:
    blocks = [cast(Block, block) for block in model.blocks]
    like = model.token_embedding.weight
    n_heads, width = model.config.n_heads, model.config.d_model // model.config.n_heads
    kept = like.new_empty(len(blocks), 2, batch, n_heads, length, width)

    def logits_of(tokens: Tensor, new: int) -> Tensor:
        start, now = tokens.shape[1] - new, tokens.shape[1]
        model._passing(tokens[:, start:])
        x = model.token_embedding(tokens[:, start:]) + model.position_embedding.weight[start:now]
        for block, (keys, values) in zip(blocks, kept, strict=True):
            q, keys[:, :, start:now], values[:, :, start:now] = heads(block.attn.qkv(block.norm1(x)), n_heads)
            mixed = F.scaled_dot_product_attention(q, keys[:, :, :now], values[:, :, :now], is_causal=start == 0)
            x = block.mlp(x + block.attn.out(merged(mixed)))
        found: Tensor = model.unembedding(model.norm(x[:, -1]))
        return found

    return logits_of
