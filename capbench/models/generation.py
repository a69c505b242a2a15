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
    lengths: Int[Tensor, " batch"] | None = None,
) -> Int[Tensor, "batch n"]:
    """The next n tokens of each prompt, on the prompts' device.

    lengths: of the prompts, where they are not all as long; what stands after a prompt is not read. Each goes on as it would
    alone, so that without drawing nothing depends on the others. With `end`, a string also ends where the model takes no more.

    temperature: 0 takes the most likely token; 1 draws from the model's distribution, more flattens it. Drawing needs rng, a
    generator on the CPU, and depends on nothing else. end: the token that ends a string; what follows it is `end` again, and
    generation stops when all strings have ended.
    Raises UsageError for prompts that leave no room for n tokens and for drawing without rng, NoAnswerError for NaN.
    """
    if not prompts.shape[1]:
        raise UsageError("nothing to go on with: prompts need at least one token")
    if lengths is not None and not ((lengths >= 1) & (lengths <= prompts.shape[1])).all():
        raise UsageError(f"lengths of prompts {lengths.tolist()}: must be from 1 to {prompts.shape[1]}")
    longest = prompts.shape[1] if lengths is None else int(lengths.max())
    room = getattr(getattr(model, "config", None), "seq_len", None)
    cut = lengths is not None and end is not None  # where the model can take no more
    if room is not None and not cut and longest + n - 1 > room:  # the last token need not be read
        raise UsageError(
            f"{n} tokens after prompts of {longest}; this model takes at most {room}, so {room + 1 - longest}"
        )
    if temperature < 0 or (temperature > 0 and rng is None):
        raise UsageError(f"temperature {temperature!r} must be 0, or above 0 with rng to draw from")
    was_training = model.training
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    given = prompts.to(device)
    starts = torch.full((len(prompts),), longest, device=device) if lengths is None else lengths.to(device)
    stop = longest + n if room is None else min(longest + n, room + 1)
    logits_of = _cached(cast(Gpt, model), len(prompts), stop) if caches(model) else _plain(model)
    tokens = given[:, : int(starts.min())]
    new = tokens.shape[1]
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for at in range(new, stop):
        found = _chosen(logits_of(tokens, new), temperature, rng)
        if end is not None:
            found = torch.where(ended, torch.full_like(found, end), found)
        if at < longest:  # prompts that are longer than this go on as they are
            found = torch.where(starts > at, given[:, at], found)
        tokens, new = torch.cat([tokens, found[:, None]], 1), 1
        if end is not None:
            ended |= (found == end) & (starts <= at)
            if bool((ended | (starts + n <= at + 1)).all()):
                break
    model.train(was_training)
    if end is not None:
        rest = torch.full((len(prompts), longest + n - tokens.shape[1]), end, dtype=tokens.dtype, device=device)
        tokens = torch.cat([tokens, rest], 1)
    places = starts[:, None] + torch.arange(n, device=device)
    return tokens.gather(1, places).to(prompts.device)


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
