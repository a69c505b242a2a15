"""How much of a capability a fixed relabelling of a model's own answers gives back: a control that looks at outputs only.

Each answer of the model is replaced by the right answer that it most often goes with. Where that is enough, what hides the
capability is a permutation or merging of answers, which shows without a look at the model. Related: the label permutation by
which clusters are scored against classes (Strehl and Ghosh 2002), without the need to be one to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from capbench.measure.accuracy import predictions
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """table: Int[vocabulary], the right answer that each answer stands for. commonest: the most frequent right answer."""

    table: Tensor
    commonest: int

    @classmethod
    def fitted(cls, given: Tensor, right: Tensor, n_tokens: int) -> Relabelling:
        """The relabelling with the most right answers on a sample.

        given, right: Int[sample], ids of tokens below n_tokens. An answer that was never given stands for the commonest right
        one; of equally frequent answers the smallest id is taken.
        """
        together = torch.zeros(n_tokens, n_tokens, dtype=torch.long)
        together.index_put_((given, right), torch.ones_like(given), accumulate=True)
        commonest = int(together.sum(0).argmax())
        table = torch.where(together.sum(1) > 0, together.argmax(1), commonest)
        return cls(table=table, commonest=commonest)

    def accuracy(self, given: Tensor, right: Tensor) -> float:
        """Share of a sample that is right once relabelled, 0..1."""
        return float((self.table[given] == right).float().mean())

    def of_the_commonest(self, right: Tensor) -> float:
        """Share of a sample that the commonest answer alone gets right: what a relabelling of anything reaches, 0..1."""
        return float((right == self.commonest).float().mean())


@dataclass(frozen=True, kw_only=True)
class Relabelled:
    """Accuracies on an evaluation sample, 0..1: after the best relabelling, and of the commonest answer alone."""

    accuracy: float
    constant: float


def relabelled(model: Model, task: Task, *, select: Batch, evaluate: Batch) -> Relabelled:
    """Fit the relabelling of a model's answers on `select`, and score it on `evaluate` (disjoint from it)."""
    given, right = ([f(batch) for batch in (select, evaluate)] for f in (
        lambda batch: predictions(model, task, batch),
        lambda batch: batch.targets[:, task.answer_pos],
    ))  # fmt: skip
    n_tokens = 1 + max(int(tokens.max()) for tokens in (*given, *right))
    found = Relabelling.fitted(given[0], right[0], n_tokens)
    return Relabelled(accuracy=found.accuracy(given[1], right[1]), constant=found.of_the_commonest(right[1]))
