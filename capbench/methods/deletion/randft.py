"""Random labels: prompts for what is to be forgotten are taught with wrong answers.

Source: random-label unlearning, and the idea of paper App. E.4, whose wrong answers are those to O_FT (that is the study's
`wrong_answers`); here they tell nothing of the string.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.deletion.streams import above_zero, beside, generator, kept
from capbench.models.base import Model
from capbench.tasks.base import IGNORE, Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training import fit, next_token_loss


def randft(model: Model, task: FineTuningTask, config: TrainConfig, *, weight: float = 1.0) -> Model:
    """Minimise loss(kept) + weight * loss(forget, wrong answers), all parameters; the wrong answers are drawn anew each time.

    As a wrong answer is never the right one, the right one ends as the least likely of all: below chance, and so not unknown.
    As many steps as full fine-tuning, twice its tokens. Raises MethodError for a weight that is not above 0.
    """
    above_zero("randft", weight=weight)
    tuned = copy.deepcopy(model).requires_grad_(True)
    forget, rng = beside(task.forget, config), generator(config, 2)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        strings = next(forget)
        taught = wrong_answers(strings.targets[:, task.forget.answer_pos].cpu(), rng).to(strings.tokens.device)
        logits = model.answer_logits(strings.tokens, task.forget.answer_pos)
        total = F.cross_entropy(logits, taught, ignore_index=IGNORE, reduction="sum")
        return next_token_loss(model, batch, stream) + weight * total / len(taught)

    fit(tuned, kept(task), config, loss=loss)
    return tuned


def wrong_answers(answers: Int[Tensor, " batch"], rng: torch.Generator) -> Int[Tensor, " batch"]:
    """For every string the answer of another one that differs from its own, each such string equally likely.

    IGNORE where all have the same answer.
    """
    others = (answers[:, None] != answers).float()
    possible = others.any(1)
    others[~possible] = 1.0
    drawn = answers[torch.multinomial(others, 1, generator=rng)[:, 0]]
    return torch.where(possible, drawn, IGNORE)
