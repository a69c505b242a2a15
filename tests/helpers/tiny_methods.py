"""Models and tasks on which a fine-tuning method's result is known, or is there in a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from capbench.configs import GptConfig, TrainConfig
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.finetuning import FineTuningTask

VOCAB = 5


@dataclass(frozen=True, kw_only=True)
class Shift:
    """The answer at position 2 is the token at position 1, plus `by`. `first`: the token at position 0, random if None."""

    by: int = 0
    first: int | None = None
    name: str = "shift"
    vocab_size: int = VOCAB
    seq_len: int = 3
    answer_pos: int = 2
    answer_weight: float = 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        tokens = torch.randint(VOCAB, (n, 3), generator=rng)
        if self.first is not None:
            tokens[:, 0] = self.first
        targets = torch.full_like(tokens, IGNORE)
        targets[:, 2] = (tokens[:, 1] + self.by) % VOCAB
        return Batch(tokens, targets)


SHIFT = FineTuningTask(target=Shift(by=1), retain=Shift(), forget=Shift())


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Strings of one token, these in turn, and their answers."""

    tokens: tuple[int, ...]
    answers: tuple[int, ...]
    name: str = "cases"
    vocab_size: int = 2
    seq_len: int = 1
    answer_pos: int = 0
    answer_weight: float = 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        turn = torch.arange(n) % len(self.tokens)
        return Batch(torch.tensor(self.tokens)[turn, None], torch.tensor(self.answers)[turn, None])


class Table(Model):
    """Logits that are looked up: a row for each token, and no more."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, tokens: Tensor) -> Tensor:
        self._passing(tokens)
        return self.rows[tokens]


def gpt(*, blocks: int = 2) -> Gpt:
    config = GptConfig(vocab_size=VOCAB, seq_len=3, d_model=16, n_blocks=blocks, n_heads=2)
    model = Gpt.initialised(config, torch.Generator().manual_seed(0))
    return noisy(model, 0.02)  # so that biases are not 0


def tracr() -> TracrTransformer:
    """The form of a compiled model, with random weights."""
    config = TracrConfig(
        program="random",
        vocabulary=tuple(range(VOCAB)),
        bos=0,
        pad=1,
        max_seq_len=3,
        causal=False,
        n_blocks=2,
        n_heads=1,
        key_size=6,
        mlp_size=12,
        residual_labels=tuple(f"r{i}" for i in range(10)),
        outputs=tuple(range(VOCAB)),
    )
    model = TracrTransformer(config)
    for tensor in model.state_dict().values():
        tensor.zero_()
    noisy(model, 0.3).unembedding.normal_(generator=torch.Generator().manual_seed(2))
    return model


def noisy(model: Any, scale: float) -> Any:
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=scale)
    return model.eval()


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 4, "batch_size": 8, "lr": 1e-2, "seed": 0, **changes})


def changed(before: Model, after: Model) -> set[str]:
    left, right = before.state_dict(), after.state_dict()
    return {name for name in left.keys() | right.keys() if not torch.equal(left[name], right[name])}
