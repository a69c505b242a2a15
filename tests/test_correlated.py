"""Texts with a spurious correlation: it is there or absent exactly as asked for, and edited texts keep the answers spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg import correlated
from capbench.tasks.pcfg.correlated import correlated_texts
from capbench.tasks.pcfg.grammar import PAPER_GRAMMAR, WIDE_GRAMMAR
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.splits import Split

A, B = 0, 1
SPLITS: tuple[Split, ...] = ("train", "select", "evaluate")


def drawn(
    setting: PcfgSetting, *, rate: float, q: int = 1, n: int = 200, split: Split = "train", seed: int = 0
) -> np.ndarray:
    correlation = Correlation(o_pt="a", o_ft="b", rate=rate, q=q)
    return correlated_texts(setting, "C", correlation, n, split, np.random.default_rng(seed))


def differences(setting: PcfgSetting, text: np.ndarray) -> list[int]:
    """count(b) - count(a) of each text, counted letter by letter."""
    tail = [row[-setting.numbers["C"] :] for row in text.tolist()]
    return [sum(x == B for x in row) - sum(x == A for x in row) for row in tail]


def classes(answers: np.ndarray) -> float:
    """Effective number of classes, exp of the entropy."""
    shares = np.bincount(answers) / len(answers)
    return float(np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()))


def counts_of_b(setting: PcfgSetting, text: np.ndarray) -> np.ndarray:
    found: np.ndarray = (text[:, setting.text_len - setting.numbers["C"] :] == B).sum(axis=1)
    return found


SETTINGS = st.builds(
    PcfgSetting,
    text_len=st.just(20),
    numbers=st.integers(6, 20).map(lambda number: {"C": number}),
    grammar=st.sampled_from([PAPER_GRAMMAR, WIDE_GRAMMAR]),
    edited=st.booleans(),
)


@settings(max_examples=25)
@given(
    setting=SETTINGS,
    q=st.integers(-1, 2),
    rate=st.sampled_from([0.0, 0.5, 1.0]),
    split=st.sampled_from(SPLITS),
    seed=st.integers(0, 99),
)
def test_the_correlation_is_there_or_absent_as_asked(
    setting: PcfgSetting, q: int, rate: float, split: Split, seed: int
) -> None:
    text = drawn(setting, rate=rate, q=q, n=120, split=split, seed=seed)
    assert text.shape == (120, setting.text_len) and setting.in_split(text, split).all()
    carrying = sum(difference == q for difference in differences(setting, text))
    assert carrying == 120 * rate if rate in (0, 1) else 30 < carrying < 90
    assert (text == drawn(setting, rate=rate, q=q, n=120, split=split, seed=seed)).all()


def test_edited_texts_keep_the_answers_spread_where_chosen_ones_do_not() -> None:
    paper = {"text_len": 60, "numbers": {"C": 40}}
    chosen, edited = (
        counts_of_b(s := PcfgSetting(**paper, edited=edit), drawn(s, rate=1, n=2000))  # type: ignore[arg-type]
        for edit in (False, True)
    )
    assert classes(chosen) < 3 < 4 < classes(edited)
    assert np.bincount(edited).max() / 2000 < 0.4 < np.bincount(chosen).max() / 2000


def test_small_texts_of_the_wide_grammar_spread_without_editing() -> None:
    numbers = {"C": 12}
    wide, paper = (PcfgSetting(text_len=16, numbers=numbers, grammar=g) for g in (WIDE_GRAMMAR, PAPER_GRAMMAR))
    assert classes(counts_of_b(wide, drawn(wide, rate=1, n=2000))) > 4
    assert classes(counts_of_b(paper, drawn(paper, rate=1, n=2000))) < 3


def test_edits_only_add_the_operand_of_fine_tuning() -> None:
    """The grammar's only string has three c in the window: one is taken for each b that is missing, and no a changes."""
    from capbench.tasks.pcfg.grammar import Grammar

    letters = tuple("abcc")
    rules = {"s": ((("x",) * 6, 1.0),), "x": tuple(((letter,), 0.25) for letter in letters)}
    setting = PcfgSetting(
        text_len=6, numbers={"C": 6}, grammar=Grammar(start="s", rules=rules, terminals=("a", "b", "c")), edited=True
    )
    text = drawn(setting, rate=1, q=3, n=300)
    assert set(differences(setting, text)) == {3}
    assert len({tuple(row) for row in text.tolist()}) > 20
    # b outnumbers a by three in few natural texts, so nearly all of these were edited; a is as frequent as it can be.
    assert {int((row == A).sum()) for row in text} == {0, 1}


def test_an_impossible_correlation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlated, "_MOST_DRAWN", 20_000)
    setting = PcfgSetting(text_len=6, numbers={"C": 2}, edited=True)
    with pytest.raises(UsageError, match="hardly any text"):
        correlated_texts(
            setting, "C", Correlation(o_pt="a", o_ft="b", rate=1.0, q=3), 8, "train", np.random.default_rng(0)
        )
