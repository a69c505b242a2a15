"""What every task has: a stream of token batches and an answer position."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int

IGNORE = -1  # a target without loss


class Batch(NamedTuple):
    """tokens, targets: Int[batch pos]. targets[i, t] is the token to predict from tokens[i, : t + 1]; -1: no loss."""

    tokens: Int[torch.Tensor, "batch pos"]
    targets: Int[torch.Tensor, "batch pos"]


@runtime_checkable
class Task(Protocol):
    """An input distribution with its exact answers.

    answer_pos: the position at which the answer is predicted, the same in every string; `targets[:, answer_pos]` is the answer
    token. answer_weight: weight of the answer's loss, added to the mean loss of the other targets.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def seq_len(self) -> int: ...
    @property
    def answer_pos(self) -> int: ...
    @property
    def answer_weight(self) -> float: ...

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """Draw n strings; equal generator states give equal batches."""
        ...
