"""A PCFG task: prompts of one family over strings of a grammar, with exact answers (paper App. B.2, C.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg.correlated import correlated_texts
from capbench.tasks.pcfg.families import Family
from capbench.tasks.pcfg.prompt import Parts, answer_pos
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.splits import Split, check_split

if TYPE_CHECKING:
    import torch

Targets = Literal["all", "answer"]


@dataclass(frozen=True, kw_only=True)
class PcfgTask:
    """Prompts of one family token with operands drawn from a prior.

    prior: operand -> probability, summing to one (paper C.2: multinomial operand prior); empty for a family without operands.
    correlation: between the answers for two operands. For families that may fail (I, IC), only texts with both answers
    have or lack it.
    answered: the operand whose answer is given, whatever the prompt asks for (randFT, App. E.4); None: the one asked for.
    targets: 'all' = next-token targets: the text, what follows it, the answer (pretraining); 'answer' = the answer only
             (fine-tuning, App. C.2). The header is never a target: it cannot be predicted.
    """

    setting: PcfgSetting
    prior: Mapping[str, float]
    family: str = "C"
    correlation: Correlation | None = None
    answered: str | None = None
    split: Split = "train"
    targets: Targets = "answer"
    answer_weight: float = 1.0

    def __post_init__(self) -> None:
        family = self._family
        for operand in self.prior:
            self._check_operand("prior", operand)
        if self.answered is not None:
            self._check_operand("randFT's answer", self.answered)
        total = sum(self.prior.values())
        if family.operand == "null":
            for what, given in (("prior", self.prior), ("correlation", self.correlation), ("answered", self.answered)):
                if given:
                    raise UsageError(f"family {self.family} has no operand, so it takes no {what}: {given!r}")
        elif not abs(total - 1) <= 1e-9 or min(self.prior.values()) < 0:  # "not <=": a NaN must not pass
            raise UsageError(f"operand prior {dict(self.prior)} must be probabilities that sum to 1, not {total:g}")
        check_split(self.split)
        if self.targets not in ("all", "answer"):
            raise UsageError(f"unknown targets {self.targets!r}; known: all, answer")
        if self.correlation is not None:
            self._check(self.correlation)

    def _check_operand(self, what: str, operand: str | int) -> None:
        if operand not in self.setting.operands:
            raise UsageError(f"{what} names operand {operand!r}; this setting has {self.setting.operands}")

    def _check(self, c: Correlation) -> None:
        for operand in (c.o_pt, c.o_ft):
            self._check_operand("correlation", operand)
        number, room = self.setting.numbers[self.family], self._family.symbols - 1
        if c.relation != "offset":
            if self._family.may_fail:
                most = self.setting.text_len - number - room
                self._check_positions(c, np.array([d for d in range(-most, most + 1) if abs(d) > room]))
            return
        most = (self.setting.text_len - number if self._family.may_fail else number) - room
        if abs(c.q) > most:
            raise UsageError(f"correlation q = {c.q}: answers of family {self.family} differ by at most {most} here")
        if self._family.may_fail and c.rate and abs(c.q) <= room:
            raise UsageError(f"correlation q = {c.q}: family {self.family} never finds two operands this close")

    def _check_positions(self, c: Correlation, differences: np.ndarray) -> None:
        """Raise unless answers of a family that may fail, `differences` apart, can both have and lack the relation."""
        if c.relation == "presence":
            raise UsageError(
                f"correlation 'presence': family {self.family} only has texts with both operands; choose one that counts"
            )
        held = c.holds(np.zeros_like(differences), differences)
        if (c.rate > 0 and not held.any()) or (c.rate < 1 and held.all()):
            raise UsageError(
                f"correlation {c.relation!r} at rate {c.rate:g}: answers of family {self.family} cannot differ this way in "
                f"texts of {self.setting.text_len} tokens"
            )

    @property
    def name(self) -> str:
        prior = ",".join(f"{o}:{p:g}" for o, p in self.prior.items() if p)
        return f"pcfg-{self.family}({prior})"

    @property
    def vocab_size(self) -> int:
        return len(self.setting.vocabulary)

    @property
    def seq_len(self) -> int:
        return self.setting.seq_len

    @property
    def answer_pos(self) -> int:
        """Position of ART; the next token is the answer."""
        return answer_pos(self.setting.text_len)

    @property
    def first_answer(self) -> int:
        """Token of the first possible answer; the others follow in order: numbers from 0, or terminals."""
        vocabulary = self.setting.vocabulary
        return vocabulary.zero if self._family.answers == "number" else vocabulary.first_terminal

    @property
    def n_answers(self) -> int:
        """Number of possible answer tokens."""
        return self.setting.text_len + 1 if self._family.answers == "number" else len(self.setting.operands)

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n prompts."""
        import torch

        seed = torch.randint(2**62, (1,), generator=rng, device=rng.device).item()
        tokens = self._prompts(n, np.random.default_rng(int(seed)))
        targets = np.full_like(tokens, IGNORE)
        answer = np.array([self.answer_pos + 1])
        predicted = answer if self.targets == "answer" else self.setting.format.predicted(self.setting.text_len)
        targets[:, predicted - 1] = tokens[:, predicted]
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets))

    @property
    def _family(self) -> Family:
        return self.setting.family(self.family)

    def _prompts(self, n: int, rng: np.random.Generator) -> np.ndarray:
        vocabulary, family = self.setting.vocabulary, self._family
        text = self._texts(n, rng)
        operand = self._operands(n, rng)
        number = self.setting.numbers[self.family]
        first_operand = {
            "terminal": vocabulary.first_terminal,
            "composite": vocabulary.first_composite,
            "null": vocabulary.index["NULL"],
        }[family.operand]
        asked = operand if self.answered is None else np.array(self.setting.operands.index(self.answered))
        parts = Parts(
            family=vocabulary.index[f"T_{self.family}"],
            operand=first_operand + operand,
            number=vocabulary.zero + number,
            text=text.astype(np.int64) + vocabulary.first_terminal,
            answer=self.first_answer + family.answer(text, asked, number),
        )
        return self.setting.format.write(parts, vocabulary.index)

    def _operands(self, n: int, rng: np.random.Generator) -> np.ndarray:
        # In the order of the terminals: priors that differ only in order give equal data.
        names = [name for name in self.setting.operands if name in self.prior]
        shares = np.array([self.prior[name] for name in names])
        index = np.array([self.setting.operands.index(name) for name in names])
        if len(names) <= 1:
            return np.repeat(index if names else 0, n)
        return index[rng.choice(len(names), size=n, p=shares / shares.sum())]

    def _texts(self, n: int, rng: np.random.Generator) -> np.ndarray:
        if self.correlation is None:
            return self.setting.texts(n, self.split, rng)[:n]
        return correlated_texts(self.setting, self.family, self.correlation, n, self.split, rng)
