"""The task families: vectorised answers on windows of terminals. One function per family (paper App. B.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# (text [n, text_len], operand [n] or scalar, number O') -> answers [n]
Answer = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def count(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family C: how often the operand stands in the last `number` positions of the text (paper B.2)."""
    tail = text[:, text.shape[1] - number :]
    found: np.ndarray = (tail == np.asarray(operand).reshape(-1, 1)).sum(axis=1)
    return found


def index(text: np.ndarray, operand: np.ndarray, number: int) -> np.ndarray:
    """Family I: position, counted back from EOT (the last symbol is 1), of the number-th occurrence of the operand.

    Occurrences are counted back from EOT too. 0 where the text holds fewer.
    """
    hits = np.cumsum((text == np.asarray(operand).reshape(-1, 1))[:, ::-1], axis=1) == number
    found: np.ndarray = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)
    return found


FAMILIES: dict[str, Answer] = {"C": count, "I": index}
