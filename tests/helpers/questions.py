"""A language of three questions that a tiny model learns in two seconds: what deleting methods are tried on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from capbench.configs import GptConfig, TrainConfig
from capbench.models.gpt import Gpt
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture
from capbench.tasks.tracr.tasks import CounterTask
from capbench.training.loop import fit

LETTERS = 6


@dataclass(frozen=True, kw_only=True)
class Question:
    """Strings `question, x, y, end`. Question 0 asks for x (O_PT), 1 for y (O_FT), 2 for the letter after y (another family)."""

    number: int
    name: str = "question"
    vocab_size: int = LETTERS + 4
    seq_len: int = 4
    answer_pos: int = 3
    answer_weight: float = 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        tokens = torch.randint(LETTERS, (n, 4), generator=rng)
        tokens[:, 0], tokens[:, 3] = LETTERS + self.number, LETTERS + 3
        targets = torch.full_like(tokens, IGNORE)
        targets[:, 3] = (tokens[:, 1], tokens[:, 2], (tokens[:, 2] + 1) % LETTERS)[self.number]
        return Batch(tokens, targets)


O_PT, O_FT, OTHER = (Question(number=i) for i in range(3))
PRETRAINED_ON = Mixture(parts=(O_PT, OTHER))
TASK = FineTuningTask(target=O_FT, retain=PRETRAINED_ON, forget=O_PT, others=OTHER)
COUNTING = CounterTask(min_content=4, max_content=5, alphabet="abcd").finetuning("b", c_tr=0.0)


def gpt(seed: int = 0) -> Gpt:
    """As initialised."""
    sizes = GptConfig(vocab_size=O_PT.vocab_size, seq_len=4, d_model=32, n_blocks=1, n_heads=2)
    return Gpt.initialised(sizes, torch.Generator().manual_seed(seed)).eval()


@cache
def pretrained() -> Gpt:
    """Knows questions 0 and 2; not to be changed."""
    fit(model := gpt(), PRETRAINED_ON, TrainConfig(steps=200, batch_size=64, lr=1e-2, seed=0))
    return model


def tracr(seed: int = 0) -> TracrTransformer:
    """A model for COUNTING of the compiled ones' architecture, with random weights."""
    task = COUNTING.target
    assert isinstance(task, CounterTask)
    config = TracrConfig(
        program="by hand",
        vocabulary=task.vocabulary,
        bos=task.bos,
        pad=task.pad,
        max_seq_len=task.seq_len,
        causal=False,
        n_blocks=2,
        n_heads=1,
        key_size=3,
        mlp_size=6,
        residual_labels=tuple(f"x:{i}" for i in range(10)),
        outputs=task.answers,
    )
    model, rng = TracrTransformer(config).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in (*model.parameters(), model.unembedding):
            weights.copy_(0.4 * torch.randn(weights.shape, generator=rng))
    return model
