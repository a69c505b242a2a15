"""Mixtures: every string is of one of the parts, drawn with its share, independently and in random order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from pcfg_prompts import PRIOR, SETTING, UNLIKELY, rng
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch, Task
from capbench.tasks.mixture import Mixture
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Strings that begin with their task's number, and random tokens after it; targets that are ten times it."""

    number: int
    vocab_size: int = 50
    seq_len: int = 5
    answer_pos: int = 3
    answer_weight: float = 1.0

    @property
    def name(self) -> str:
        return f"marked-{self.number}"

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        tokens = torch.randint(50, (n, self.seq_len), generator=rng)
        tokens[:, 0] = self.number
        return Batch(tokens, torch.full_like(tokens, 10 * self.number))


THREE = tuple(Marked(number=i) for i in range(3))


def drawn(mixture: Mixture, n: int, seed: int = 0) -> list[int]:
    """The parts that n strings are of."""
    numbers: list[int] = mixture.sample(n, rng(seed)).tokens[:, 0].tolist()
    return numbers


@pytest.mark.parametrize("shares", [(), (0.7, 0.25, 0.05), (1 / 3, 1 / 3, 1 / 3), (0.001, 0.0, 0.999), (1.0, 0.0, 0.0)])
def test_parts_come_with_their_shares_anywhere_in_a_batch(shares: tuple[float, ...]) -> None:
    found = drawn(Mixture(parts=THREE, shares=shares), 3000)
    for here in (found, found[:600], found[-600:]):
        for number, share in enumerate(shares or (1 / 3,) * 3):
            assert stats.binomtest(here.count(number), len(here), share).pvalue > UNLIKELY, (number, here.count(number))


def test_the_parts_of_a_batch_are_drawn_independently() -> None:
    # At a share of 1/2 in 16 strings the variance is 4; a share fixed at 8 would have none.
    mixture = Mixture(parts=THREE[:2])
    assert 2.5 < np.var([drawn(mixture, 16, seed).count(0) for seed in range(200)]) < 6


def test_every_string_keeps_its_targets() -> None:
    batch = Mixture(parts=THREE, shares=(0.2, 0.3, 0.5)).sample(300, rng())
    assert batch.tokens.shape == batch.targets.shape == (300, 5)
    assert torch.equal(batch.targets, 10 * batch.tokens[:, :1].expand(-1, 5))
    assert len({tuple(row) for row in batch.tokens.tolist()}) == 300


def test_parts_may_have_targets_at_other_positions() -> None:
    every, answer = (PcfgTask(setting=SETTING, prior=PRIOR, targets=targets) for targets in ("all", "answer"))
    batch = Mixture(parts=(every, answer), shares=(0.3, 0.7)).sample(500, rng())
    used = (batch.targets != IGNORE).sum(1)
    assert set(used.tolist()) == {16, 1} and stats.binomtest(int((used == 16).sum()), 500, 0.3).pvalue > UNLIKELY


@pytest.mark.parametrize("n", [1, 2])
def test_a_batch_may_be_smaller_than_the_number_of_parts(n: int) -> None:
    assert {len(drawn(Mixture(parts=THREE), n, seed)) for seed in range(20)} == {n}
    assert {number for seed in range(30) for number in drawn(Mixture(parts=THREE), n, seed)} == {0, 1, 2}


def test_equal_generators_give_equal_batches_and_others_do_not() -> None:
    mixture = Mixture(parts=THREE, shares=(0.5, 0.4, 0.1))
    first, again, other = (mixture.sample(50, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.tokens, other.tokens)
    generator = rng(1)
    assert torch.equal(mixture.sample(50, generator).tokens, first.tokens)
    assert not torch.equal(mixture.sample(50, generator).tokens, first.tokens)


def test_a_mixture_is_a_task_of_its_parts_shape_and_may_be_mixed_again() -> None:
    mixture = Mixture(parts=(replace(THREE[0], answer_weight=0.5), THREE[1]))
    assert isinstance(mixture, Task)
    assert (mixture.vocab_size, mixture.seq_len, mixture.answer_pos, mixture.answer_weight) == (50, 5, 3, 0.5)
    nested = Mixture(parts=(mixture, THREE[2]), shares=(0.2, 0.8))
    assert (mixture.name, nested.name) == ("marked-0+marked-1", "0.2 marked-0+marked-1+0.8 marked-2")
    found = drawn(nested, 2000)
    assert all(
        stats.binomtest(found.count(i), 2000, share).pvalue > UNLIKELY for i, share in enumerate((0.1, 0.1, 0.8))
    )


def pcfg(**changes: Any) -> PcfgTask:
    return PcfgTask(setting=PcfgSetting(**{"text_len": 12, "numbers": {"C": 8}, **changes}), prior=PRIOR)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "empty": (lambda: Mixture(parts=()), "at least one task"),
    "shares' sum": (lambda: Mixture(parts=THREE, shares=(0.5, 0.3, 0.1)), "(0.5, 0.3, 0.1)"),
    "too few shares": (lambda: Mixture(parts=THREE, shares=(0.5, 0.5)), "(0.5, 0.5) of a mixture must be 3 numbers"),
    "too many shares": (lambda: Mixture(parts=THREE[:1], shares=(0.5, 0.5)), "(0.5, 0.5)"),
    "negative share": (lambda: Mixture(parts=THREE, shares=(0.6, 0.6, -0.2)), "-0.2"),
    "share that is no number": (lambda: Mixture(parts=THREE, shares=(0.5, 0.5, float("nan"))), "nan"),
    "vocabulary": (lambda: Mixture(parts=(THREE[0], replace(THREE[1], vocab_size=51))), "marked-1 and marked-0"),
    "length": (lambda: Mixture(parts=(*THREE, replace(THREE[1], seq_len=6))), "marked-1 and marked-0"),
    "answer's position": (lambda: Mixture(parts=(THREE[2], replace(THREE[1], answer_pos=2))), "marked-1 and marked-2"),
    "texts' length": (lambda: Mixture(parts=(pcfg(), pcfg(text_len=13))), "cannot be mixed: vocabulary size, length"),
    "families": (lambda: Mixture(parts=(pcfg(), pcfg(numbers={"C": 8, "I": 2}))), "cannot be mixed: vocabulary size, length"),
}  # fmt: skip


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)
