"""PCFG tasks: prompts over strings of a grammar, for pretraining, fine-tuning and evaluation (paper App. B.2, C.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.correlation import Correlation
from capbench.tasks.families import FAMILIES
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.grammar import PAPER_GRAMMAR, Grammar, windows
from capbench.tasks.splits import Split, check_split, in_split, share
from capbench.tasks.vocabulary import HEADER, TRAILER, Vocabulary

if TYPE_CHECKING:
    import torch

Targets = Literal["all", "answer"]
_PARTS = 4  # half of all texts to train on, a quarter to select with, a quarter to evaluate on
_EMPTY_DRAWS = 8  # so many draws without a single text: there is none
_MOST_DRAWN = 2_000_000  # texts looked at for one sample before a correlation counts as impossible


@dataclass(frozen=True, kw_only=True)
class PcfgSetting:
    """What all tasks of one study share: grammar, text length (tokens), the number O' of each task family, operands.

    numbers: family -> O'. The paper (App. B.2): text 250; C counts in the last 40, I looks for the 6th occurrence.
    """

    text_len: int
    numbers: Mapping[str, int]
    operands: tuple[str, ...] = ("a", "b", "c")
    grammar: Grammar = field(default=PAPER_GRAMMAR, repr=False)

    def __post_init__(self) -> None:
        for family, number in self.numbers.items():
            if family not in FAMILIES:
                raise UsageError(f"unknown task family {family!r}; known: {', '.join(FAMILIES)}")
            if not 0 < number <= self.text_len:
                raise UsageError(
                    f"O' = {number} of family {family} must be between 1 and the text length {self.text_len}"
                )
        for operand in self.operands:
            if operand not in self.grammar.terminals:
                raise UsageError(f"operand {operand!r} is no terminal of the grammar; it has {self.grammar.terminals}")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        families = tuple(family for family in FAMILIES if family in self.numbers)
        return Vocabulary(families=families, terminals=self.grammar.terminals, max_number=self.text_len)

    @property
    def seq_len(self) -> int:
        """Tokens per prompt, answer and EOS included."""
        return HEADER + self.text_len + TRAILER

    def texts(self, n: int, split: Split, rng: np.random.Generator) -> np.ndarray:
        """At least n texts of one split as terminal indices, int16 [>= n, text_len]."""
        found: list[np.ndarray] = []
        missing, per_string = n, 1.0
        while missing > 0:
            strings = int(missing / (per_string * share(split, _PARTS)) * 1.1) + 4
            drawn = windows(*self.grammar.sample(strings, rng), self.text_len, rng)
            per_string = max(len(drawn) / strings, 0.1)
            kept = drawn[in_split(drawn, split, _PARTS)]
            found.append(kept)
            missing -= len(kept)
            if len(found) >= _EMPTY_DRAWS and not any(map(len, found)):
                raise UsageError(
                    f"no text of {self.text_len} tokens in split {split!r}: the grammar's strings are too short"
                )
        return found[0] if len(found) == 1 else np.concatenate(found)


@dataclass(frozen=True, kw_only=True)
class PcfgTask:
    """Prompts of one family with operands drawn from a prior.

    prior:  operand -> probability, summing to one (paper C.2: multinomial operand prior).
    targets: 'all' = next-token targets from the text on, plus the answer (pretraining); 'answer' = the answer only
             (fine-tuning, App. C.2). The header is never a target: it cannot be predicted.
    """

    setting: PcfgSetting
    prior: Mapping[str, float]
    family: str = "C"
    correlation: Correlation | None = None
    split: Split = "train"
    targets: Targets = "answer"
    answer_weight: float = 1.0

    def __post_init__(self) -> None:
        for operand in self.prior:
            if operand not in self.setting.operands:
                raise UsageError(f"prior names operand {operand!r}; this setting has {self.setting.operands}")
        total = sum(self.prior.values())
        if not abs(total - 1) <= 1e-9 or min(self.prior.values()) < 0:  # "not <=": a NaN must not pass
            raise UsageError(f"operand prior {dict(self.prior)} must be probabilities that sum to 1, not {total:g}")
        if self.family not in self.setting.numbers:
            raise UsageError(
                f"this setting has no task family {self.family!r}; it has {', '.join(self.setting.numbers)}"
            )
        check_split(self.split)
        if self.targets not in ("all", "answer"):
            raise UsageError(f"unknown targets {self.targets!r}; known: all, answer")
        if self.correlation is not None:
            self._check(self.correlation)

    def _check(self, c: Correlation) -> None:
        for operand in (c.o_pt, c.o_ft):
            if operand not in self.setting.operands:
                raise UsageError(f"correlation names operand {operand!r}; this setting has {self.setting.operands}")
        most = self.setting.text_len if self.family == "I" else self.setting.numbers[self.family]
        if abs(c.q) > most:
            raise UsageError(f"correlation q = {c.q}: answers of family {self.family} lie between 0 and {most} here")

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
        """Position of ART; the answer is the token after it."""
        return HEADER + self.setting.text_len + 1

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n prompts; the texts are natural strings of the grammar, chosen by rejection where a correlation is asked for."""
        import torch

        seed = torch.randint(2**62, (1,), generator=rng, device=rng.device).item()
        tokens = self._prompts(n, np.random.default_rng(int(seed)))
        targets = np.full_like(tokens, IGNORE)
        first = self.answer_pos if self.targets == "answer" else HEADER - 1
        last = self.answer_pos + 1 if self.targets == "answer" else tokens.shape[1] - 1
        targets[:, first:last] = tokens[:, first + 1 : last + 1]
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets))

    def _prompts(self, n: int, rng: np.random.Generator) -> np.ndarray:
        vocabulary, text_len = self.setting.vocabulary, self.setting.text_len
        text = self._texts(n, rng)
        operand = self._operands(n, rng)
        number = self.setting.numbers[self.family]
        tokens = np.empty((n, self.seq_len), dtype=np.int64)
        tokens[:, 0] = vocabulary.index["SOS"]
        tokens[:, 1] = vocabulary.index[f"T_{self.family}"]
        tokens[:, 2] = vocabulary.first_terminal + operand
        tokens[:, 3] = vocabulary.zero + number
        tokens[:, 4] = vocabulary.index["SOT"]
        tokens[:, HEADER : HEADER + text_len] = vocabulary.first_terminal + text
        tokens[:, HEADER + text_len] = vocabulary.index["EOT"]
        tokens[:, self.answer_pos] = vocabulary.index["ART"]
        tokens[:, self.answer_pos + 1] = vocabulary.zero + FAMILIES[self.family](text, operand, number)
        tokens[:, self.answer_pos + 2] = vocabulary.index["EOS"]
        return tokens

    def _operands(self, n: int, rng: np.random.Generator) -> np.ndarray:
        # In the order of the terminals: priors that are equal but for their order give equal data.
        names = [name for name in self.setting.grammar.terminals if name in self.prior]
        shares = np.array([self.prior[name] for name in names])
        index = np.array([self.setting.grammar.terminals.index(name) for name in names])
        if len(names) == 1:
            return np.repeat(index, n)
        return index[rng.choice(len(names), size=n, p=shares / shares.sum())]

    def _texts(self, n: int, rng: np.random.Generator) -> np.ndarray:
        c = self.correlation
        if c is None:
            return self.setting.texts(n, self.split, rng)[:n]
        wanted = {True: int(rng.binomial(n, c.rate))}
        wanted[False] = n - wanted[True]
        found: dict[bool, list[np.ndarray]] = {True: [], False: []}
        draw = max(n, 64)
        drawn = 0
        while drawn < _MOST_DRAWN:
            drawn += draw
            text = self.setting.texts(draw, self.split, rng)
            carries = self._carries(text, c)
            for side, here in ((True, carries), (False, ~carries)):
                have = sum(map(len, found[side]))
                found[side].append(text[here][: wanted[side] - have])
            if all(sum(map(len, found[side])) == wanted[side] for side in wanted):
                chosen = np.concatenate([*found[True], *found[False]])
                return chosen[rng.permutation(n)]
            # The next round draws what is still missing at the rate seen so far, with a little to spare.
            rates = {
                side: max(float(here.mean()), 1 / (2 * draw)) for side, here in ((True, carries), (False, ~carries))
            }
            draw = max(64, *(int(1.1 * (wanted[s] - sum(map(len, found[s]))) / rates[s]) for s in wanted))
            draw = min(draw, 200_000)
        raise UsageError(f"{c}: hardly any text of {self.setting.text_len} tokens is so (of {drawn} drawn)")

    def _carries(self, text: np.ndarray, c: Correlation) -> np.ndarray:
        terminals, number = self.setting.grammar.terminals, self.setting.numbers[self.family]
        answer = FAMILIES[self.family]
        pt, ft = (answer(text, np.array(terminals.index(o)), number) for o in (c.o_pt, c.o_ft))
        carries: np.ndarray = ft - pt == c.q
        return carries


@dataclass(frozen=True, kw_only=True)
class PcfgMixture:
    """Prompts of several families, each equally likely: the pretraining distribution (App. B.2: uniform family prior)."""

    parts: tuple[PcfgTask, ...]

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts)

    @property
    def vocab_size(self) -> int:
        return self.parts[0].vocab_size

    @property
    def seq_len(self) -> int:
        return self.parts[0].seq_len

    @property
    def answer_pos(self) -> int:
        return self.parts[0].answer_pos

    @property
    def answer_weight(self) -> float:
        return self.parts[0].answer_weight

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n prompts in random order, the families drawn independently."""
        import torch

        family = torch.randint(len(self.parts), (n,), generator=rng, device=rng.device)
        shares = [int((family == i).sum()) for i in range(len(self.parts))]
        batches = [part.sample(share, rng) for part, share in zip(self.parts, shares, strict=True) if share]
        order = torch.randperm(n, generator=rng, device=rng.device)
        return Batch(*(torch.cat(column)[order] for column in zip(*batches, strict=True)))


def pretraining(setting: PcfgSetting, prior: Mapping[str, float], *, targets: Targets = "all") -> PcfgMixture:
    """All families of the setting with one operand prior (App. C.2)."""
    return PcfgMixture(
        parts=tuple(
            PcfgTask(setting=setting, prior=prior, family=f, targets=targets) for f in FAMILIES if f in setting.numbers
        )
    )


def counter_finetuning(
    setting: PcfgSetting, prior: Mapping[str, float], *, o_pt: str, o_ft: str, c_tr: float
) -> FineTuningTask:
    """Fine-tune the Counter from o_pt to o_ft; correlation count(o_ft) = count(o_pt) + 1 at rate c_tr (App. C.2)."""
    target = PcfgTask(setting=setting, prior={o_ft: 1.0}, correlation=Correlation(o_pt=o_pt, o_ft=o_ft, rate=c_tr))
    return FineTuningTask(
        target=target,
        retain=pretraining(setting, prior, targets="answer"),
        forget=replace(target, prior={o_pt: 1.0}, correlation=None),
    )
