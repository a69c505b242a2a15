"""Texts with or without a spurious correlation: selected natural texts, or natural texts with O_FT tokens added (App. C.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.splits import Split

_MOST_DRAWN = 2_000_000  # texts drawn for one sample before a correlation counts as impossible
_RARE = 0.02  # answers with a smaller share of the texts than this are not thinned out


def correlated_texts(
    setting: PcfgSetting, family: str, c: Correlation, n: int, split: Split, rng: np.random.Generator
) -> np.ndarray:
    """n texts of one split as terminal indices, int16 [n, text_len]; each has the correlation with probability c.rate.

    Texts without an answer (families I and IC) neither have nor lack it, and are omitted.
    Raises UsageError if too few texts satisfy the correlation.
    """
    wanted = {True: int(rng.binomial(n, c.rate))}
    wanted[False] = n - wanted[True]
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    edited = setting.edited and c.relation == "offset" and setting.family(family).name == "C"
    candidates = _edited if edited else _natural
    draw = max(n, 64)
    drawn = 0
    while drawn < _MOST_DRAWN:
        drawn += draw
        rates = {}
        for side, texts in candidates(setting, family, c, setting.texts(draw, split, rng), split, rng):
            have = sum(map(len, found[side]))
            found[side].append(texts[: wanted[side] - have])
            rates[side] = max(len(texts) / draw, 1 / (2 * draw))
        if all(sum(map(len, found[side])) == wanted[side] for side in wanted):
            chosen = np.concatenate([*found[True], *found[False]])
            return chosen[rng.permutation(n)]
        # The next round draws what is still missing at the acceptance rate so far, plus a margin.
        draw = max(64, *(int(1.1 * (wanted[s] - sum(map(len, found[s]))) / rates[s]) for s in wanted))
        draw = min(draw, 200_000)
    raise UsageError(f"{c}: too few texts of {setting.text_len} tokens satisfy it ({drawn} drawn)")


def _answers(setting: PcfgSetting, family: str, c: Correlation, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The answers for O_PT and for O_FT."""
    answer, number = setting.family(family).answer, setting.numbers[family]
    pt, ft = (answer(text, np.array(setting.operands.index(str(o))), number) for o in (c.o_pt, c.o_ft))
    return pt, ft


def _natural(
    setting: PcfgSetting, family: str, c: Correlation, text: np.ndarray, split: Split, rng: np.random.Generator
) -> Iterator[tuple[bool, np.ndarray]]:
    """The texts with the correlation, then those without."""
    pt, ft = _answers(setting, family, c, text)
    found = (pt > 0) & (ft > 0) if setting.family(family).may_fail else np.ones(len(text), dtype=bool)
    carries = c.holds(pt, ft)
    yield True, text[found & carries]
    yield False, text[found & ~carries]


def _edited(
    setting: PcfgSetting, family: str, c: Correlation, text: np.ndarray, split: Split, rng: np.random.Generator
) -> Iterator[tuple[bool, np.ndarray]]:
    """Texts in which O_FT replaces some tokens that are neither operand, so that count(O_FT) = count(O_PT) + q (offset).

    count(O_PT) is unchanged, so answers spread as in natural texts; selecting natural texts would leave almost a single answer.
    Texts without the correlation are edited just as much: how natural a text looks must not reveal it.
    """
    pt, ft = _answers(setting, family, c, text)
    missing = c.q - (ft - pt)
    window = text[:, setting.text_len - setting.numbers[family] :]
    o_pt, o_ft = (setting.operands.index(str(o)) for o in (c.o_pt, c.o_ft))
    free = (window != o_pt) & (window != o_ft)
    possible = missing[(missing >= 0) & (missing <= free.sum(axis=1))]
    for carries in (True, False):
        add = missing if carries else rng.choice(possible, size=len(text)) if len(possible) else np.zeros_like(missing)
        usable = (add >= 0) & (add <= free.sum(axis=1)) & ((add == missing) == carries)
        edited = _with_added(text[usable], free[usable], add[usable], o_ft, rng)
        inside = setting.in_split(edited, split)
        yield carries, _flattened(edited[inside], (ft + add)[usable][inside], rng)


def _flattened(text: np.ndarray, answer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thin out texts with common answers, making shares proportional to their square roots: answers spread further."""
    shares = np.bincount(answer) / max(len(answer), 1)
    kept: np.ndarray = text[rng.random(len(text)) ** 2 * shares[answer] < _RARE]
    return kept


def _with_added(
    text: np.ndarray, free: np.ndarray, add: np.ndarray, operand: int, rng: np.random.Generator
) -> np.ndarray:
    """The texts with the operand at `add` [n] random free positions; free: bool [n, number], the end of the text."""
    order = np.where(free, rng.random(free.shape, dtype=np.float32), np.float32(2)).argsort(axis=1)
    chosen = np.zeros_like(free)
    np.put_along_axis(chosen, order, np.arange(free.shape[1]) < add[:, None], axis=1)
    edited = text.copy()
    edited[:, text.shape[1] - free.shape[1] :][chosen] = operand
    return edited
