"""Floating-point operations of a training step: the one place where they are counted.

Counted are the matrix products of the forward and the backward pass, a multiplication and an addition each: those with the
weights (2 per weight and token forward, 4 backward) and the two of attention. What is computed anew in the backward pass does not
count, nor do norms, activations, softmax, embeddings, clipping and the optimizer: what they cost lowers the rate.
"""

from __future__ import annotations

from capbench.configs import GptConfig

_FORWARD_AND_BACKWARD = 3  # the backward pass has two products for each one of the forward pass


def training_step(config: GptConfig, batch: int, positions: int, *, causal: bool = True) -> float:
    """Operations of one step on `batch` strings of `positions` tokens.

    causal: of the attention matrices count what a causal model needs, the pairs of a token with itself or one before it. False
    counts all pairs, as is usual in papers: 10 % more for the paper's GPT.
    """
    weights = config.n_blocks * 12 * config.d_model**2 + config.d_model * config.vocab_size
    pairs = positions * (positions + 1) / 2 if causal else positions**2
    attention = config.n_blocks * 4 * pairs * config.d_model
    return _FORWARD_AND_BACKWARD * batch * (2 * weights * positions + attention)


def product(rows: int, inner: int, columns: int) -> float:
    """Operations of one matrix product."""
    return 2.0 * rows * inner * columns


def shapes(config: GptConfig, batch: int, positions: int) -> list[tuple[int, int, int]]:
    """(rows, inner, columns) of the products with the weights of one block, forward and backward."""
    d, tokens = config.d_model, batch * positions
    maps = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]  # inputs, outputs
    return [shape for i, o in maps for shape in ((tokens, i, o), (tokens, o, i), (o, tokens, i))]
