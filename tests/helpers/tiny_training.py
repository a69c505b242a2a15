"""A GPT that trains in milliseconds, and how."""

from __future__ import annotations

from typing import Any

import torch

from capbench.configs import GptConfig, TrainConfig
from capbench.models.gpt import Gpt


def tiny(seed: int = 0) -> Gpt:
    config = GptConfig(vocab_size=5, seq_len=3, d_model=16, n_blocks=1, n_heads=2)
    return Gpt.initialised(config, torch.Generator().manual_seed(seed))


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 5, "batch_size": 8, "lr": 1e-2, "seed": 0, **changes})
