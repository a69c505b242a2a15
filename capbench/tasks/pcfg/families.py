"""The task families: vectorised answers on windows of terminals, one function per family (paper App. B.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

# (text [n, text_len], operand [n] or scalar, number O') -> answers [n]; texts and operands as terminal indices
Answer = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A task family.

    operand: what a prompt names: a terminal (a), a composite element (aa), or nothing (NULL). answers: the kind of answer.
    may_fail: whether some texts have no answer; theirs is 0.
    """

    name: str
    answer: Answer
    operand: Literal["terminal", "composite", "null"]
    answers: Literal["number", "terminal"] = "number"
    may_fail: bool = False

    @property
    def symbols(self) -> int:
        """Length of one occurrence of the operand."""
        return 2 if self.operand == "composite" else 1


def count(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family C: occurrences of the operand in the last `number` positions of the text. Never fails: 0 is a count."""
    found: np.ndarray = _occurrences(text, operand)[:, text.shape[1] - number :].sum(axis=1)
    return found


def count_composite(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family CC: occurrences of the operand twice in a row in the last `number` positions; aaa contains aa twice."""
    found: np.ndarray = _composites(text, operand)[:, text.shape[1] - number :].sum(axis=1)
    return found


def index(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family I: position, counted back from EOT (the last symbol is 1), of the number-th occurrence of the operand.

    Occurrences are counted back from EOT too. 0 if the text has fewer.
    """
    return _nth_from_end(_occurrences(text, operand), number)


def index_composite(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family IC: as I for a composite element; its position is that of its second symbol."""
    return _nth_from_end(_composites(text, operand), number)


def token(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family T: the terminal `number` positions before EOT (the last symbol is 1). Never fails; no operand."""
    found: np.ndarray = text[:, -number]
    return found


def _occurrences(text: np.ndarray, operand: np.ndarray) -> np.ndarray:
    found: np.ndarray = text == np.asarray(operand, dtype=text.dtype).reshape(-1, 1)
    return found


def _composites(text: np.ndarray, operand: np.ndarray) -> np.ndarray:
    """bool [n, text_len - 1]: whether the operand is at a position and at the next."""
    single = _occurrences(text, operand)
    found: np.ndarray = single[:, :-1] & single[:, 1:]
    return found


def _nth_from_end(found: np.ndarray, nth: int) -> np.ndarray:
    reached = np.cumsum(found[:, ::-1], axis=1, dtype=np.int16) == nth
    distance: np.ndarray = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0)
    return distance


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(name="C", answer=count, operand="terminal"),
        Family(name="CC", answer=count_composite, operand="composite"),
        Family(name="I", answer=index, operand="terminal", may_fail=True),
        Family(name="IC", answer=index_composite, operand="composite", may_fail=True),
        Family(name="T", answer=token, operand="null", answers="terminal"),
    )
}
