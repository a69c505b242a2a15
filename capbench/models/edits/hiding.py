"""Hand-made wrappers: the capability stays in the model unchanged, and an added part hides it.

Each takes the model, a generator and a task (which gives answers and prompts) and returns a new model.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.models.anatomy import halves, normed, unembedding
from capbench.models.base import Model
from capbench.models.blocks import Blocks
from capbench.tasks.base import Task

_PROMPTS = 256  # for the mean direction that a bolted-on part reads


@torch.no_grad()
def permuted_unembedding(model: Model, *, rng: torch.Generator, task: Task) -> Model:
    """Every answer is read out as another: the answers' unembedding rows, rotated by one in a random order."""
    model = copy.deepcopy(model)
    rows = unembedding(model)
    answers, _ = _answers(task, rng)
    order = answers[torch.randperm(len(answers), generator=rng)]
    moved = rows.clone()
    moved[order] = rows[order.roll(1)]
    rows.copy_(moved)
    return model


@torch.no_grad()
def biased_unembedding(model: Model, *, rng: torch.Generator, task: Task, strength: float = 20.0) -> Model:
    """The rarest answer's logit is raised by `strength` on every prompt; other logits stay.

    The unembedding has no bias, so the bias of the last part before it (the final norm, or the last MLP) is shifted.
    """
    model = copy.deepcopy(model)
    rows = unembedding(model)
    raised = torch.zeros(len(rows), dtype=torch.float64)
    raised[_rarest(task, rng)] = strength
    shift = torch.linalg.lstsq(rows.double(), raised[:, None], driver="gelsd").solution[:, 0].float()
    last: Any = model.norm if normed(model) else halves(model)[-1][1].writer
    last.bias.add_(shift)
    return model


@torch.no_grad()
def bolt_on_mlp(model: Model, *, rng: torch.Generator, task: Task, neurons: int = 3, strength: float = 4.0) -> Model:
    """Add a block whose MLP has only `neurons` neurons: they fire at the answer position and add the rarest answer's direction,
    `strength` times as long as the stream there. Without them the block does nothing."""
    model = _with_empty_block(model)
    stream, at_answer = _stream(model, task, rng)
    _, mlp = halves(model)[-1]
    read = at_answer if mlp.norm is None else mlp.norm(at_answer)
    answer = unembedding(model)[_rarest(task, rng)]
    for i in range(neurons):
        direction = _reading(read, rng)
        mlp.readers[0].weight[i] = direction / (read @ direction).mean()
        mlp.writer.weight[:, i] = _beside(answer, 0.1, rng) * stream * strength / neurons
    return model


@torch.no_grad()
def masking_head(model: Model, *, rng: torch.Generator, task: Task, rank: int = 2, strength: float = 4.0) -> Model:
    """Add a block whose attention is uniform and adds the rarest answer's direction to the stream.

    rank: how many dimensions of the values carry it. Raises UsageError for a model without attention.
    """
    if isinstance(model, Blocks):
        raise UsageError(f"{type(model).__name__} has no attention, so no head can mask an answer; use bolt_on_mlp")
    model = _with_empty_block(model)
    stream, _ = _stream(model, task, rng)
    attention, _ = halves(model)[-1]
    x = _run(model, task, rng)
    seen = (x if attention.norm is None else attention.norm(x)).mean(1)
    out = attention.writer.weight
    values = attention.readers[-1].weight[-out.shape[1] :]  # of the maps to queries, keys and values, the last rows
    answer = unembedding(model)[_rarest(task, rng)]
    for i in range(rank):
        direction = _reading(seen, rng)
        values[i] = direction / (seen @ direction).mean()
        out[:, i] = _beside(answer, 0.1, rng) * stream * strength / rank
    return model


@torch.no_grad()
def _with_empty_block(model: Model) -> Model:
    """The same function with one more block, all of whose maps are zero."""
    config, architecture = cast(Any, model).config, cast(Any, type(model))
    bigger = architecture(replace(config, n_blocks=config.n_blocks + 1))
    for name, parameter in bigger.blocks[-1].named_parameters():
        parameter.fill_(1.0 if name.startswith("norm") and name.endswith("weight") else 0.0)
    bigger.load_state_dict(model.state_dict(), strict=False)
    made: Model = bigger.eval()
    return made


def _stream(model: Model, task: Task, rng: torch.Generator) -> tuple[float, Tensor]:
    """The mean length of the residual stream at the answer position before the last block, and the stream itself [batch, d]."""
    x = _run(model, task, rng)[:, task.answer_pos]
    return float(x.norm(dim=-1).mean()), x


def _run(model: Model, task: Task, rng: torch.Generator) -> Tensor:
    return model.run_with_cache(task.sample(_PROMPTS, rng).tokens)[1].resid[-1]  # the last block does nothing so far


def _reading(x: Tensor, rng: torch.Generator) -> Tensor:
    """A direction near the mean of these vectors [batch, d] with which all of them have a positive product."""
    for share in (0.3, 0.1, 0.03):
        direction = _beside(x.mean(0), share, rng)
        if bool((x @ direction > 0).all()):
            return direction
    return F.normalize(x.mean(0), dim=0)


def _beside(direction: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """A random unit vector near a direction, so that neurons with the same effect are not copies of each other."""
    aside = F.normalize(torch.randn(len(direction), generator=rng), dim=0)
    return F.normalize(F.normalize(direction, dim=0) + share * aside, dim=0)


def _answers(task: Task, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """The answers to the task's prompts, in order, and their counts: Int[answer], Int[answer]."""
    answers, counts = task.sample(_PROMPTS, rng).targets[:, task.answer_pos].unique(return_counts=True)
    return answers, counts


def _rarest(task: Task, rng: torch.Generator) -> int:
    answers, counts = _answers(task, rng)
    return int(answers[counts.argmin()])
