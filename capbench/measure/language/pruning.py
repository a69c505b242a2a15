"""Pruning on prompts: does a skill come back without the neurons that suppress its answers? (See measure/prune.py.)"""

from __future__ import annotations

import random
from collections.abc import Sequence

from capbench.measure.language.answers import accuracy
from capbench.measure.prune import Unit, pruned, relevance
from capbench.models.base import Model
from capbench.tasks.language.streams import Prompts


def suppressors(model: Model, train: Prompts, *, n: int, seed: int) -> list[Unit]:
    """The neurons that suppress the answers, the strongest first, scored on n prompts that are drawn with the seed."""
    asked = train.part(random.Random(f"pruning {seed}").sample(range(len(train)), min(n, len(train))))
    return [unit for score, unit in relevance(model, asked, asked.batch()) if score > 0]


def pruned_by_score(
    model: Model,
    *,
    train: Prompts,
    select: Prompts,
    evaluate: Prompts,
    rows: Sequence[int],
    n_scored: int,
    seed: int = 0,
) -> tuple[float, int]:
    """Accuracy on `evaluate` without the neurons that suppress the answers most, and how many these are, 0 if none helps.

    How many are pruned is chosen from `rows` on `select`. n_scored, seed: see `suppressors`.
    """
    ranking = suppressors(model, train, n=n_scored, seed=seed)
    numbers = [0, *sorted({min(k, len(ranking)) for k in rows})]
    scores = {k: accuracy(pruned(model, ranking[:k]), select) for k in numbers}
    best = max(numbers, key=lambda k: scores[k])
    return accuracy(pruned(model, ranking[:best]), evaluate), best
