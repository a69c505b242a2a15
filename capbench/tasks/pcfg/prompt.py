"""The form of a PCFG prompt: positions of its text, question and answer; writing and reading prompts (paper App. B.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, NamedTuple, get_args

import numpy as np

from capbench.errors import UsageError

Question = Literal["before", "after"]
_HEADER = ("family", "operand", "number")
_FRAME = 9  # tokens of a prompt besides its text: SOS, header, SOT, EOT, ART, answer, EOS


class Parts(NamedTuple):
    """The variable parts of prompts, as tokens or words. text: [n, text_len]; all others: [n], or one value for all."""

    family: np.ndarray | int
    operand: np.ndarray | int
    number: np.ndarray | int
    text: np.ndarray
    answer: np.ndarray | int


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """The order of a prompt's tokens; its length and the answer's position are the same in all formats.

    header: the order of the question's three tokens: T (family), O (operand), O' (number). question: whether they come before
    the text (as in the paper: SOS header SOT text EOT ART answer EOS) or after it (SOS SOT text EOT header ART answer EOS).
    Raises UsageError for any other header or question.
    """

    header: tuple[str, str, str] = _HEADER
    question: Question = "before"

    def __post_init__(self) -> None:
        if self.header not in tuple(permutations(_HEADER)):
            raise UsageError(f"prompt's header {self.header!r} must be a permutation of {_HEADER}")
        if self.question not in get_args(Question):
            raise UsageError(f"prompt's question {self.question!r} must be 'before' or 'after' (the text)")

    def slots(self, text_len: int) -> tuple[str, ...]:
        """The content of each position: the name of a special token, 'family', 'operand', 'number', 'text' or 'answer'."""
        text = ("SOT", *["text"] * text_len, "EOT")
        asked = (*self.header, *text) if self.question == "before" else (*text, *self.header)
        return ("SOS", *asked, "ART", "answer", "EOS")

    def predicted(self, text_len: int) -> np.ndarray:
        """Positions of tokens that are predictable from those before them: the text and all that follows, but not the header."""
        slots = self.slots(text_len)
        return np.array([i for i, slot in enumerate(slots) if slot not in ("SOS", "SOT", *_HEADER)])

    def write(self, parts: Parts, specials: Mapping[str, int]) -> np.ndarray:
        """Prompts, int64 [n, seq_len], from their parts as tokens. specials: name -> token of SOS, SOT, EOT, ART and EOS."""
        slots = self.slots(parts.text.shape[1])
        tokens = np.empty((len(parts.text), len(slots)), dtype=np.int64)
        for position, slot in enumerate(slots):
            if slot != "text":
                tokens[:, position] = getattr(parts, slot) if slot in Parts._fields else specials[slot]
        first = slots.index("text")
        tokens[:, first : first + parts.text.shape[1]] = parts.text
        return tokens

    def read(self, prompts: np.ndarray) -> Parts:
        """The parts of prompts [n, seq_len] of tokens or words. Raises UsageError for prompts without text."""
        if prompts.ndim != 2 or prompts.shape[1] <= _FRAME:
            raise UsageError(f"prompts of shape {prompts.shape} must be [n, seq_len] with seq_len above {_FRAME}")
        slots = self.slots(prompts.shape[1] - _FRAME)
        first = slots.index("text")
        found = {slot: prompts[:, slots.index(slot)] for slot in (*_HEADER, "answer")}
        return Parts(text=prompts[:, first : first + slots.count("text")], **found)


def seq_len(text_len: int) -> int:
    """Tokens of a prompt, answer and EOS included."""
    return text_len + _FRAME


def answer_pos(text_len: int) -> int:
    """Position of ART; the next token is the answer."""
    return seq_len(text_len) - 3
