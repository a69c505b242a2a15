"""A model of the architecture of compiled programs, with random weights."""

from __future__ import annotations

from typing import Any

import torch

from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer

VOCABULARY = ("BOS", "PAD", 1, "1", None)
POSITIONS = 7


def config(**changes: Any) -> TracrConfig:
    sizes: dict[str, Any] = {
        "program": "made by hand",
        "vocabulary": VOCABULARY,
        "bos": "BOS",
        "pad": "PAD",
        "max_seq_len": POSITIONS,
        "causal": False,
        "n_blocks": 2,
        "n_heads": 2,
        "key_size": 3,
        "mlp_size": 6,
        "residual_labels": tuple(f"x:{i}" for i in range(10)),
        "outputs": (False, True, None, "a"),
    }
    return TracrConfig(**{**sizes, **changes})


def random_model(seed: int = 0, **changes: Any) -> TracrTransformer:
    """Double precision, weights large enough that attention is far from uniform and many units are off."""
    model, rng = TracrTransformer(config(**changes)).double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in (*model.parameters(), model.unembedding):
            weights.copy_(torch.randn(weights.shape, generator=rng, dtype=torch.double) * 0.4)
    return model
