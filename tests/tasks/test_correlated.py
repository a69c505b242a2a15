"""Texts with a spurious correlation: it is there or absent exactly as asked for, and edited texts keep the answers spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcfg_prompts import FORMATS, UNLIKELY, asked, prompts
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.correlation import Correlation, Relation
from capbench.tasks.pcfg import correlated
from capbench.tasks.pcfg.correlated import correlated_texts
from capbench.tasks.pcfg.grammar import PAPER_GRAMMAR, WIDE_GRAMMAR
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask
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


# What each relation says of the answers for O_PT and O_FT, one pair at a time.
RELATIONS: dict[tuple[Relation, int], Callable[[int, int], bool]] = {
    ("offset", 2): lambda pt, ft: ft == pt + 2,
    ("parity", 0): lambda pt, ft: {pt % 2, ft % 2} in ({0}, {1}),
    ("parity", 1): lambda pt, ft: {pt % 2, ft % 2} == {0, 1},
    ("presence", 1): lambda pt, ft: bool(pt) == bool(ft),
    ("order", 1): lambda pt, ft: pt < ft,
}
FOUND = [(family, *named) for family in ("C", "CC", "I", "IC") for named in RELATIONS]
FOUND = [case for case in FOUND if "I" not in case[0] or case[1] != "presence"]


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
    with pytest.raises(UsageError, match="too few texts"):
        correlated_texts(
            setting, "C", Correlation(o_pt="a", o_ft="b", rate=1.0, q=3), 8, "train", np.random.default_rng(0)
        )


# ---- other relations than an offset


def test_relations_are_as_worked_out_by_hand() -> None:
    pt, ft = np.array([0, 1, 2, 0, 3, 5, 2]), np.array([0, 2, 1, 3, 3, 2, 4])
    expected: dict[tuple[Relation, int], str] = {
        ("offset", 2): "------x",
        ("offset", 1): "-x-----",
        ("offset", -1): "--x----",
        ("parity", 0): "x---x-x",
        ("parity", 1): "-xxx-x-",
        ("presence", 1): "xxx-xxx",
        ("order", 1): "-x-x--x",
    }
    for (relation, q), carrying in expected.items():
        correlation = Correlation(o_pt="a", o_ft="b", rate=1, q=q, relation=relation)
        assert "".join("-x"[int(x)] for x in correlation.holds(pt, ft)) == carrying
        assert correlation.determines == (relation == "offset")


def related(family: str, relation: Relation, q: int, rate: float, **changes: Any) -> PcfgTask:
    numbers = {"C": 4, "CC": 10, "I": 2, "IC": 1}
    setting = PcfgSetting(**{"text_len": 16, "numbers": numbers, "grammar": WIDE_GRAMMAR, **changes})
    correlation = Correlation(o_pt="a", o_ft="b", rate=rate, q=q, relation=relation)
    return PcfgTask(setting=setting, prior={"b": 1.0}, family=family, correlation=correlation)


@pytest.mark.parametrize("family, relation, q", FOUND)
def test_texts_carry_a_relation_or_lack_it_by_the_oracle(family: str, relation: Relation, q: int) -> None:
    for rate, form in ((0, FORMATS[0]), (1, FORMATS[9]), (0.5, FORMATS[4])):
        task = related(family, relation, q, rate, format=form)
        answers = [
            tuple(asked(prompt, letter, format=form) for letter in "ab")
            for prompt in prompts(task, 100, setting=task.setting)
        ]
        carrying = sum(RELATIONS[relation, q](*both) for both in answers)
        assert carrying == 100 * rate or (rate == 0.5 and stats.binomtest(carrying, 100, rate).pvalue > UNLIKELY)
        assert "I" not in family or all(pt and ft for pt, ft in answers)
        # Only an offset tells the one answer from the other.
        told = all(len({ft for pt, ft in answers if pt == one}) == 1 for one, _ in answers)
        assert told == (rate == 1 and relation == "offset")


def test_texts_are_edited_for_an_offset_only() -> None:
    for relation, q in RELATIONS:
        edited, natural = (
            related("C", relation, q, 1, edited=edit, grammar=PAPER_GRAMMAR)._texts(50, np.random.default_rng(0))
            for edit in (True, False)
        )
        assert np.array_equal(edited, natural) == (relation != "offset")


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "relation": (lambda: related("C", "more", 1, 1), "'more'"),  # type: ignore[arg-type]
    "parity": (lambda: related("C", "parity", 2, 1), "q = 2"),
    "q of presence": (lambda: related("C", "presence", 0, 1), "q = 0: presence has no q"),
    "q of order": (lambda: related("C", "order", 2, 1), "q = 2: order has no q"),
    "presence of what is found": (lambda: related("I", "presence", 1, 1), "family I"),
    "no other place": (
        lambda: related("I", "order", 1, 0, text_len=2, numbers={"I": 2}),
        "'order' at rate 0: answers of family I cannot differ this way in texts of 2 tokens",
    ),
    "no even distance": (lambda: related("I", "parity", 0, 0.5, text_len=3, numbers={"I": 2}), "at rate 0.5"),
    "no odd distance": (lambda: related("IC", "parity", 1, 1, text_len=4, numbers={"IC": 1}), "'parity'"),
}


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)
