"""The token alphabet and the prompt format of the PCFG tasks (paper App. B.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

SPECIALS = ("SOS", "SOT", "EOT", "ART", "EOS", "NULL")
HEADER = 5  # SOS, T (family), O (operand), O' (number), SOT
TRAILER = 4  # EOT, ART, answer, EOS


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

    def decode(self, tokens: list[int]) -> str:
        """Token names joined by blanks, for people."""
        return " ".join(self.names[t] for t in tokens)
