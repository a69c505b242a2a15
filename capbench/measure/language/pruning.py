"""Pruning on prompts: does a skill come back without the neurons that suppress its answers? (See measure/prune.py.)"""

from __future__ import annotations

from collections.abc import Sequence

from capbench.measure.language.answers import accuracy
from capbench.measure.prune import pruned, relevance
from capbench.models.base import Model
from capbench.tasks.language.streams import Prompts


def pruned_by_score(
    model: Model, *, train: Prompts, select: Prompts, evaluate: Prompts, rows: Sequence[int], n_scored: int
) -> tuple[float, int]:
    """Accuracy on `evaluate` without the neurons that suppress the answers most, and how many these are, 0 if none helps.

    Neurons are scored on n_scored prompts to train on; how many are pruned is chosen from `rows` on `select`.
    """
    asked = train.part(range(min(n_scored, len(train))))
    ranking = [unit for score, unit in relevance(model, asked, asked.batch()) if score > 0]
    numbers = [0, *sorted({min(k, len(ranking)) for k in rows})]
    scores = {k: accuracy(pruned(model, ranking[:k]), select) for k in numbers}
    best = max(numbers, key=lambda k: scores[k])
    return accuracy(pruned(model, ranking[:best]), evaluate), best
