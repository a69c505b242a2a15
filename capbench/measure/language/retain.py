"""What a change of a model cost elsewhere: its loss on text that it was to keep."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from capbench.measure.accuracy import device_of
from capbench.measure.language.answers import evaluating
from capbench.models.base import Model
from capbench.tasks.language.streams import Texts


@torch.no_grad()
def loss(model: Model, texts: Texts, *, batch: int = 16) -> float:
    """Mean cross-entropy of the next token, in nats. Infinite where it is not a number: no damage is larger."""
    total, n = 0.0, 0
    with evaluating(model):
        for start in range(0, len(texts), batch):
            tokens, targets = texts.batch(range(start, min(start + batch, len(texts))))
            logits = model(tokens.to(device_of(model))).flatten(0, 1)
            total += float(F.cross_entropy(logits, targets.flatten().to(logits.device), reduction="sum"))
            n += targets.numel()
    return total / n if math.isfinite(total) else math.inf


def rise(before: float, now: float) -> float:
    """Relative change of a loss: .1 is 10 % more."""
    return now / before - 1
