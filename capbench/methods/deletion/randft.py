"""Random labels: the prompts to forget are trained with wrong answers.

Source: random-label unlearning, and the idea of paper App. E.4, whose wrong answers are those to O_FT (the study's
`wrong_answers`); here they are independent of the string.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.streams import above_zero, beside, generator, kept
from capbench.models.base import Model
from capbench.tasks.base import IGNORE, Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss


def randft(model: Model, task: FineTuningTask, config: TrainConfig, *, weight: float = 1.0) -> Model:
    """Minimise loss(kept) + weight * loss(forget, wrong answers), all parameters; wrong answers are redrawn at every step.

    A wrong answer is never the right one, so the right one ends up least likely: below chance, which is not the same as unknown.
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
    """For each string the answer of another string with a different answer, each such string equally likely.

    IGNORE where all strings have the same answer.
    """
    others = (answers[:, None] != answers).float()
    possible = others.any(1)
    others[~possible] = 1.0
    drawn = answers[torch.multinomial(others, 1, generator=rng)[:, 0]]
    return torch.where(possible, drawn, IGNORE)
