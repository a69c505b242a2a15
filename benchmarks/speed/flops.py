"""Floating-point operations of a training step: the one place where they are counted.

Counted are the matrix products of the forward and the backward pass, a multiplication and an addition each: those with the
weights (2 per weight and token forward, 4 backward) and the two of attention. Nothing that is computed anew in the backward pass
counts, nor do norms, activations, softmax, embeddings, clipping and the optimizer: what they cost lowers the rate.
"""

from __future__ import annotations

from capbench.configs import GptConfig

BACKWARD = 2  # the backward pass has two products for each one of the forward pass


def training_step(config: GptConfig, batch: int, positions: int, *, causal: bool = True) -> float:
    """Operations of one step on `batch` strings of `positions` tokens.

    causal: count of the attention matrices what a causal model needs, the pairs of a token and itself or one before it; False
    counts all pairs, as papers often do (for the paper's GPT 10 % more in all).
    """
    weights = config.n_blocks * 12 * config.d_model**2 + config.d_model * config.vocab_size
    pairs = positions * (positions + 1) / 2 if causal else positions**2
    attention = config.n_blocks * 4 * pairs * config.d_model
    return (1 + BACKWARD) * batch * (2 * weights * positions + attention)


def matrix_product(rows: int, inner: int, columns: int) -> float:
    """Operations of one matrix product."""
    return 2.0 * rows * inner * columns


def products_of_a_step(config: GptConfig, batch: int, positions: int) -> dict[str, tuple[int, int, int]]:
    """(rows, inner, columns) of the products with the block's weights, forward and backward, by name."""
    d, tokens = config.d_model, batch * positions
    maps = {"qkv": (d, 3 * d), "out": (d, d), "mlp_in": (d, 4 * d), "mlp_out": (4 * d, d)}
    shapes = {}
    for name, (of, to) in maps.items():
        shapes[f"{name} forward"] = (tokens, of, to)
        shapes[f"{name} input gradient"] = (tokens, to, of)
        shapes[f"{name} weight gradient"] = (to, tokens, of)
    return shapes
