"""Shared by all PCFG tasks of one study: grammar, text length, task families, prompt format; and drawing texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.pcfg.families import FAMILIES, Family
from capbench.tasks.pcfg.grammar import PAPER_GRAMMAR, Grammar, windows
from capbench.tasks.pcfg.prompt import PromptFormat, seq_len
from capbench.tasks.pcfg.vocabulary import SPECIALS, Vocabulary
from capbench.tasks.splits import Split, in_split, share

_PARTS = 4  # half of all texts train, a quarter selects, a quarter evaluates
_LEAST_WINDOW = 8  # counted letters from which on they decide the split: of fewer there are too few strings to divide
_MOST_SYMBOLS = 2**25  # of the strings that are cut at once
_MOST_EMPTY = 100_000  # after this many strings without a text there is none


@dataclass(frozen=True, kw_only=True)
class PcfgSetting:
    """Shared by all tasks of one study: grammar, text length (tokens), the number O' of each family token.

    numbers: family token -> O'. The paper (App. B.2): text 250; C and CC count in the last 40, I and IC find the 6th
    occurrence, T names the token at 40. meanings: family token -> task family, for tokens not named after their family
    (App. E.2: T_NJ, T_J1 and T_J2 all mean C). edited: for the Counter's correlation, add O_FT tokens to texts as in the paper
    (App. C.2); otherwise, and for relations other than an offset, natural texts are selected. format: the order of a prompt's
    tokens.
    """

    text_len: int
    numbers: Mapping[str, int]
    meanings: Mapping[str, str] = field(default_factory=dict)
    grammar: Grammar = field(default=PAPER_GRAMMAR, repr=False)
    edited: bool = False
    format: PromptFormat = field(default=PromptFormat())

    def __post_init__(self) -> None:
        for token in self.meanings:
            if token not in self.numbers:
                raise UsageError(
                    f"meanings name family token {token!r}, which has no number; numbers are for {_list(self.numbers)}"
                )
        for token, number in self.numbers.items():
            name = self.meanings.get(token, token)
            if name not in FAMILIES:
                raise UsageError(f"unknown task family {name!r}; known: {', '.join(FAMILIES)}")
            # I and IC need k occurrences within the text; a window must fit the text and hold one operand.
            family = FAMILIES[name]
            least = 1 if family.may_fail else family.symbols
            most = self.text_len - family.symbols + 1 if family.may_fail else self.text_len
            if not least <= number <= most:
                raise UsageError(
                    f"O' = {number} of family {token} must be between {least} and {most} for texts of {self.text_len} tokens"
                )
        for terminal in self.grammar.terminals:
            if terminal in SPECIALS or terminal.startswith("T_"):
                raise UsageError(f"the grammar's terminal {terminal!r} has the name of a prompt token: rename it")
        names = Counter(self.vocabulary.names)
        for name in names:
            if names[name] > 1 or name.split() != [name]:  # words and tokens of a prompt would not be one-to-one
                raise UsageError(
                    f"{name!r} must name exactly one token and hold no spaces: rename the grammar's terminals or families"
                )
        longest = self.grammar.longest
        if longest is not None and self.text_len > longest:
            raise UsageError(
                f"texts of {self.text_len} tokens are longer than any string of the grammar; its longest has {longest}"
            )

    @property
    def operands(self) -> tuple[str, ...]:
        """The terminals of the grammar; they name the operands (in CC and IC, a stands for aa)."""
        return self.grammar.terminals

    def family(self, token: str) -> Family:
        """The family of a family token. Raises UsageError if this setting has no such token."""
        if token not in self.numbers:
            raise UsageError(f"this setting has no task family {token!r}; it has {_list(self.numbers)}")
        return FAMILIES[self.meanings.get(token, token)]

    @cached_property
    def families(self) -> tuple[str, ...]:
        """The family tokens in a canonical order: settings that differ only in the order of `numbers` give equal data."""
        order = list(FAMILIES)
        return tuple(sorted(self.numbers, key=lambda token: (order.index(self.meanings.get(token, token)), token)))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(families=self.families, terminals=self.grammar.terminals, max_number=self.text_len)

    @property
    def seq_len(self) -> int:
        """Tokens per prompt, answer and EOS included."""
        return seq_len(self.text_len)

    def texts(self, n: int, split: Split, rng: np.random.Generator) -> np.ndarray:
        """At least n texts of one split as terminal indices, int16 [>= n, text_len]."""
        found: list[np.ndarray] = []
        missing, tried = n, 0
        per_string = max(1.0, self.grammar.shortest // self.text_len)  # an initial guess, then measured
        most = _MOST_SYMBOLS // (self.grammar.longest or self.text_len)
        while missing > 0:
            strings = min(int(missing / (per_string * share(split, _PARTS)) * 1.1), most) + 4
            tried += strings
            drawn = windows(*self.grammar.sample(strings, rng), self.text_len, rng)
            per_string = max(len(drawn) / strings, 0.001)
            kept = drawn[self.in_split(drawn, split)]
            found.append(kept)
            missing -= len(kept)
            if tried > _MOST_EMPTY and not any(map(len, found)):
                raise UsageError(
                    f"no text of {self.text_len} tokens in split {split!r}: the grammar's strings are too short or too few"
                )
        return found[0] if len(found) == 1 else np.concatenate(found)

    @property
    def window(self) -> int:
        """How many letters at the end of a text decide its split: the most that any family counts (O').

        So no counted window that is trained or selected on is ever scored, whatever stands before it. If no O' is at least 8,
        the whole text decides: so few letters make too few windows, and any split has most of them.
        """
        most = max(self.numbers.values())
        return most if most >= _LEAST_WINDOW else self.text_len

    def in_split(self, texts: np.ndarray, split: Split) -> np.ndarray:
        """Which texts are in a split, by their last `window` letters: bool [n]."""
        return in_split(texts[:, -self.window :], split, _PARTS)


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(names)
