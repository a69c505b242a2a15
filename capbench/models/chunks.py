"""Linear recurrences whose state is a matrix, computed in chunks: the duality of state spaces and attention.

Source: SSD (Dao and Gu 2024, arXiv 2405.21060); with a constant decay, retention (Sun et al. 2023, arXiv 2307.08621).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def decayed_attention(
    q: Float[Tensor, "#batch #head pos n"],
    k: Float[Tensor, "#batch #head pos n"],
    v: Float[Tensor, "batch head pos p"],
    log_decay: Float[Tensor, "#batch head pos"],
    *,
    chunk: int,
) -> Float[Tensor, "batch head pos p"]:
    """y_t = q_t S_t with S_t = exp(log_decay_t) S_(t-1) + k_t^T v_t and S_(-1) = 0. log_decay: at most 0.

    Within a chunk of so many tokens as attention without a softmax; from one to the next by its state.
    """
    found: list[Tensor] = []
    state: Tensor | None = None  # [batch, head, n, p], after the chunks so far
    chunks = list(zip(*(part.split(chunk, 2) for part in (q, k, v, log_decay)), strict=True))
    for q_, k_, v_, log_decay_ in chunks:
        since = log_decay_.cumsum(-1)[..., None]  # from before the chunk to each token: [batch, head, pos, 1]
        # Later tokens are masked in the products: the exponential of -inf takes a CPU ten times as long as that of 0.
        decay = (since - since.mT).clamp(max=0).exp()
        y = ((q_ @ k_.mT).tril() * decay) @ v_
        if state is not None:
            y = y + since.exp() * (q_ @ state)
        found.append(y)
        if len(found) < len(chunks):
            until_end = since[:, :, -1:] - since
            added = (k_ * until_end.exp()).mT @ v_
            state = added if state is None else since[:, :, -1:].exp() * state + added
    return torch.cat(found, 2)


def memories(n: int, seq_len: int) -> list[float]:
    """After how many tokens each of n heads is to forget at first: 2 to seq_len, evenly on a log scale; one head: seq_len."""
    longest = max(seq_len, 2)
    return [longest * (2 / longest) ** (head / max(n - 1, 1)) for head in reversed(range(n))]
