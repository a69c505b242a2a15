"""Which prompts a model answers rightly: by its choices, by every token of the answer, or by what a checker says of its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from capbench.errors import NoAnswerError
from capbench.measure.accuracy import device_of
from capbench.models.base import Model
from capbench.tasks.language.streams import Prompts, by_length

BATCH = 32  # prompts in a pass


@torch.no_grad()
def right(model: Model, prompts: Prompts, *, batch: int = BATCH) -> Bool[Tensor, " n"]:
    """Whether each prompt is answered rightly.

    With choices: whether the answer's token is more likely than every other choice's; a tie is wrong, so a model that says the
    same of all is never right. Without: whether each token of the answer is the most likely one, given those before it, which is
    what greedy decoding would write. Raises NoAnswerError where logits are NaN.
    """
    found = torch.zeros(len(prompts), dtype=torch.bool)
    with evaluating(model):
        for rows in by_length(prompts, batch):
            part = prompts.part(rows)
            found[rows] = _by_choice(model, part) if part.strings[0].choices else _by_token(model, part)
    return found


def accuracy(model: Model, prompts: Prompts) -> float:
    """Share of prompts that are answered rightly, 0..1."""
    return float(right(model, prompts).double().mean())


def choice_logits(logits: Float[Tensor, "*layer n vocab"], prompts: Prompts) -> Float[Tensor, "*layer n choices"]:
    """The logits of each prompt's choices, the answer's first; minus infinity where a prompt has fewer than others."""
    most = max(len(string.choices) for string in prompts.strings)
    padded = [[*s.choices, *[s.choices[0]] * (most - len(s.choices))] for s in prompts.strings]
    there = [[True] * len(s.choices) + [False] * (most - len(s.choices)) for s in prompts.strings]
    at = torch.tensor(padded, device=logits.device).expand(*logits.shape[:-1], most)
    return logits.gather(-1, at).masked_fill(~torch.tensor(there, device=logits.device), float("-inf"))


def first_is_largest(logits: Float[Tensor, "*any choices"]) -> Bool[Tensor, "*any"]:
    """Whether the first is larger than each other one. Raises NoAnswerError for NaN."""
    if bool(logits.isnan().any()):
        raise NoAnswerError("its logits of choices are NaN")
    largest: Tensor = logits[..., 1:].amax(-1)
    return logits[..., 0] > largest


def _by_choice(model: Model, part: Prompts) -> Bool[Tensor, " n"]:
    tokens = part.batch().tokens.to(device_of(model))
    return first_is_largest(choice_logits(model.answer_logits(tokens, part.answer_pos), part)).cpu()


def _by_token(model: Model, part: Prompts) -> Bool[Tensor, " n"]:
    batch = part.batch()
    logits = model(batch.tokens.to(device_of(model)))[:, part.answer_pos :]
    targets = batch.targets[:, part.answer_pos :]
    if bool(logits[(targets >= 0).to(logits.device)].isnan().any()):
        raise NoAnswerError("its logits of answers are NaN")
    same: Tensor = (logits.argmax(-1).cpu() == targets) | (targets < 0)
    return same.all(-1)


@torch.no_grad()
def written(model: Model, prompts: Prompts, n: int, *, batch: int = BATCH) -> Int[Tensor, "n new"]:
    """What the model writes after each prompt: its n most likely tokens, one after the other."""
    found = torch.zeros(len(prompts), n, dtype=torch.long)
    with evaluating(model):
        for rows in by_length(prompts, batch):
            part = prompts.part(rows)
            tokens = part.batch().tokens[:, : part.before].to(device_of(model))
            for _ in range(n):
                logits = model.answer_logits(tokens, tokens.shape[1] - 1)
                if bool(logits.isnan().any()):
                    raise NoAnswerError("its logits are NaN")
                tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
            found[rows] = tokens[:, part.before :].cpu()
    return found


def checked(
    model: Model,
    prompts: Prompts,
    n: int,
    *,
    text: Callable[[Sequence[int]], str],
    check: Callable[[int, str], float],
) -> list[float]:
    """What a checker gives for the text that a model writes after each prompt. text: of tokens. check: of a prompt's number."""
    return [check(i, text(tokens)) for i, tokens in enumerate(written(model, prompts, n).tolist())]


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """The model in evaluation mode, and afterwards as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
