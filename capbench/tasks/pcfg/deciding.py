"""Which letters of a text an answer hangs on: strings that agree in these are one question, whatever else they say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from capbench.tasks.pcfg.setting import PcfgSetting

OTHER = -1  # in place of a letter that decides nothing


def deciding(setting: PcfgSetting, token: str, text: np.ndarray, operand: str) -> np.ndarray:
    """Texts, int16 [n, text_len], with all letters masked but those that decide the answer of a family token.

    C and CC: the last O' letters. I and IC: from the O'-th occurrence to the end; all of a text without an answer. T: one letter.
    operand: a terminal (a also stands for aa); a family without operands ignores it.
    """
    family, number = setting.family(token), setting.numbers[token]
    from_end = np.arange(text.shape[1], 0, -1)  # the last letter is 1
    if family.may_fail:
        place = family.answer(text, np.array(setting.operands.index(operand)), number)
        first = np.where(place > 0, place + family.symbols - 1, text.shape[1])
        decides = from_end <= first[:, None]
    else:
        decides = from_end == number if family.operand == "null" else from_end <= number
    masked: np.ndarray = np.where(decides, text, np.int16(OTHER))
    return masked


def among(strings: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the strings [n, length] are also among the others [m, length]: bool [n]."""
    there = set(_words(others))
    return np.fromiter((word in there for word in _words(strings)), dtype=bool, count=len(strings))


def _words(strings: np.ndarray) -> Iterator[bytes]:
    return (row.tobytes() for row in np.ascontiguousarray(strings, dtype=np.int16))
