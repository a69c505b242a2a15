"""Streams of natural language as tasks: prompts with answers, and plain text. Plain data; torch only where a batch is made.

Prompts are padded before them and answers after them, so that in every string the answer begins at one position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.padding import PAD

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """tokens: what the model reads. answer: what follows. choices: tokens of which the answer's is the first; () without any."""

    tokens: tuple[int, ...]
    answer: tuple[int, ...]
    choices: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Prompts with answers, as a task. Its strings are [padding, prompt, answer but for its last token, padding].

    before: positions until the answer begins, at least as many as the longest prompt has. after: those of the answer, whose last
    token is a target only. Each token of an answer is a target; the first one's loss counts as much as the mean of the others'.
    """

    name: str
    vocab_size: int
    strings: tuple[Prompt, ...]
    before: int
    after: int
    answer_weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.strings:
            raise UsageError(f"{self.name}: there are no prompts")
        before, after = _shape(self.strings)
        if self.before < before or self.after < after:
            raise UsageError(
                f"{self.name}: its longest prompt has {before} tokens and its longest answer adds {after}; they are to fit in "
                f"{self.before} and {self.after}"
            )

    @classmethod
    def of(cls, name: str, strings: Sequence[Prompt], *, vocab_size: int) -> Prompts:
        """As short as they can be."""
        if not strings:
            raise UsageError(f"{name}: there are no prompts")
        before, after = _shape(strings)
        return cls(name=name, vocab_size=vocab_size, strings=tuple(strings), before=before, after=after)

    @property
    def seq_len(self) -> int:
        return self.before + self.after

    @property
    def answer_pos(self) -> int:
        return self.before - 1

    def __len__(self) -> int:
        return len(self.strings)

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n strings in random order; none is drawn again before all others were."""
        return self.batch(_drawn(len(self), n, rng))

    def batch(self, which: Iterable[int] | None = None) -> Batch:
        """These strings; all of them, in their order, if none are named."""
        tokens, targets = self._all
        if which is None:
            return Batch(tokens, targets)
        rows = list(which)
        return Batch(tokens[rows], targets[rows])

    def part(self, which: Iterable[int]) -> Prompts:
        """These strings alone, padded as little as can be."""
        return Prompts.of(self.name, [self.strings[i] for i in which], vocab_size=self.vocab_size)

    @cached_property
    def _all(self) -> Batch:
        import torch

        tokens, targets = list[list[int]](), list[list[int]]()
        for string in self.strings:
            left = self.before - len(string.tokens)
            right = self.after - len(string.answer) + 1
            tokens.append([*[PAD] * left, *string.tokens, *string.answer[:-1], *[PAD] * right])
            targets.append([*[IGNORE] * (self.before - 1), *string.answer, *[IGNORE] * right])
        return Batch(torch.tensor(tokens), torch.tensor(targets))

    def __getstate__(self) -> dict[str, object]:
        """Without the batch, which is made again: workers that draw data ahead get a copy."""
        return {name: value for name, value in vars(self).items() if name != "_all"}


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Plain text as a task: every token but the first of a string is a target, and all count alike.

    strings: of one length; the last token of each is a target only. answer_pos: any position, where the interface of tasks asks
    for an answer; it is a token like the others.
    """

    name: str
    vocab_size: int
    strings: tuple[tuple[int, ...], ...]
    answer_pos: int

    def __post_init__(self) -> None:
        if not self.strings or len(set(map(len, self.strings))) > 1 or len(self.strings[0]) < 2:
            raise UsageError(f"{self.name}: must have strings of one length, at least 2 tokens")
        if not 0 <= self.answer_pos < self.seq_len:
            raise UsageError(f"{self.name}: answer_pos {self.answer_pos} must be from 0 to {self.seq_len - 1}")

    @property
    def seq_len(self) -> int:
        return len(self.strings[0]) - 1

    @property
    def answer_weight(self) -> float:
        return 1 / max(1, self.seq_len - 1)

    def __len__(self) -> int:
        return len(self.strings)

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n strings in random order; none is drawn again before all others were."""
        return self.batch(_drawn(len(self), n, rng))

    def batch(self, which: Iterable[int] | None = None) -> Batch:
        """These strings; all of them, in their order, if none are named."""
        import torch

        rows = torch.tensor(self.strings if which is None else [self.strings[i] for i in which])
        return Batch(rows[:, :-1], rows[:, 1:])


def aligned(*streams: Prompts) -> tuple[Prompts, ...]:
    """The same prompts, with their answers at one position: such streams can be mixed and given to one method."""
    before, after = max(s.before for s in streams), max(s.after for s in streams)
    return tuple(replace(stream, before=before, after=after) for stream in streams)


def _shape(strings: Sequence[Prompt]) -> tuple[int, int]:
    """Positions before and of the answers. Raises UsageError for a prompt without a token, or without an answer."""
    if not all(string.tokens and string.answer for string in strings):
        raise UsageError("a prompt and its answer must have at least one token each")
    return max(len(s.tokens) for s in strings), max(len(s.answer) for s in strings) - 1


def _drawn(there: int, n: int, rng: torch.Generator) -> list[int]:
    """n numbers below `there`, in rounds of all of them."""
    import torch

    orders = [torch.randperm(there, generator=rng) for _ in range(-(-n // there))]
    return torch.cat(orders)[:n].tolist() if orders else []


def by_length(strings: Prompts, most: int) -> list[list[int]]:
    """Their numbers in parts of at most `most`, each of prompts of similar length, so that little is padded."""
    order = sorted(range(len(strings)), key=lambda i: len(strings.strings[i].tokens))
    return [order[i : i + most] for i in range(0, len(order), most)]
