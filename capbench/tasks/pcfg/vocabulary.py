"""The token alphabet of the PCFG tasks (paper App. B.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from capbench.errors import UsageError

SPECIALS = ("SOS", "SOT", "EOT", "ART", "EOS", "NULL")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Tokens by name: specials, family tokens, terminals (which also serve as operands), their composites, numbers.

    The composite of terminal a is one token, aa. Numbers run from 0 to max_number.
    """

    families: tuple[str, ...]
    terminals: tuple[str, ...]
    max_number: int

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Token names in index order."""
        composites = tuple(name + name for name in self.terminals)
        numbers = tuple(str(i) for i in range(self.max_number + 1))
        return (*SPECIALS, *(f"T_{f}" for f in self.families), *self.terminals, *composites, *numbers)

    @cached_property
    def index(self) -> dict[str, int]:
        """Token name -> token."""
        return {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def first_terminal(self) -> int:
        """Token of the first terminal; the others follow in order."""
        return len(SPECIALS) + len(self.families)

    @property
    def first_composite(self) -> int:
        """Token of the first terminal's composite; the others follow in order."""
        return self.first_terminal + len(self.terminals)

    @property
    def zero(self) -> int:
        """Token of the number 0; number i is token zero + i."""
        return self.first_composite + len(self.terminals)

    def encode(self, words: str | Iterable[str]) -> list[int]:
        """The tokens of words, given as an iterable or separated by spaces. Raises UsageError for an unknown word."""
        tokens = []
        for word in words.split() if isinstance(words, str) else words:
            if word not in self.index:
                raise UsageError(
                    f"unknown word {word!r}; known: {', '.join(self.names[: self.zero])}, and numbers 0 to {self.max_number}"
                )
            tokens.append(self.index[word])
        return tokens

    def decode(self, tokens: list[int]) -> str:
        """Token names separated by spaces; the inverse of `encode`."""
        return " ".join(self.names[t] for t in tokens)
