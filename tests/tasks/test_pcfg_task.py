"""PCFG tasks: prompts, answers, priors, spurious correlation and targets are what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as hypotheses
from hypothesis import settings
from hypothesis import strategies as st
from pcfg_prompts import PRIOR, SETTING, SPLITS, UNLIKELY, asked, given, prompts, rng, seconds
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg import correlated as module
from capbench.tasks.pcfg import oracle
from capbench.tasks.pcfg.families import FAMILIES
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask


def task(**changes: Any) -> PcfgTask:
    no_operand = changes.get("family") == "T"
    return PcfgTask(**{"setting": SETTING, "prior": {} if no_operand else PRIOR, **changes})


def correlated(family: str = "C", rate: float = 0.5, q: int = 1, **changes: Any) -> PcfgTask:
    correlation = Correlation(o_pt="a", o_ft="b", rate=rate, q=q)
    return task(**{"prior": {"b": 1.0}, "family": family, "correlation": correlation, **changes})


# ---- prompts and answers

# Eight equally likely strings, with the answers by hand: to C a 4, CC aa 4, I b 2, IC aa 1, T NULL 2.
WORKED = {
    "a b a a c b": "2 1 5 3 c",
    "b b b a a a": "3 2 5 1 a",
    "a a a a a a": "4 3 0 1 a",
    "c c c c c b": "0 0 0 0 c",
    "b c a a c b": "2 1 6 3 c",
    "a b c a b b": "1 0 2 0 b",
    "b a c b c c": "0 0 6 0 c",
    "c a b a b a": "2 0 4 0 b",
}
ASKING = {"C": ("a", "a 4"), "CC": ("a", "aa 4"), "I": ("b", "b 2"), "IC": ("a", "aa 1"), "T": (None, "NULL 2")}


@pytest.mark.parametrize("column, family", list(enumerate(ASKING)))
def test_prompts_are_those_worked_out_by_hand(column: int, family: str) -> None:
    operand, words = ASKING[family]
    strings = tuple((tuple(text.split()), 1 / len(WORKED)) for text in WORKED)
    grammar = Grammar(start="S", terminals=("a", "b", "c"), rules={"S": strings})
    # The family itself, and a token of another name that means it.
    setting = PcfgSetting(
        text_len=6, numbers={family: int(words[-1]), "NJ": int(words[-1])}, meanings={"NJ": family}, grammar=grammar
    )
    for token in (family, "NJ"):
        asking = task(setting=setting, prior={operand: 1.0} if operand else {}, family=token)
        seen = {" ".join(p) for split in SPLITS for p in prompts(replace(asking, split=split), 60, setting=setting)}
        assert seen == {
            f"SOS T_{token} {words} SOT {text} EOT ART {answers.split()[column]} EOS"
            for text, answers in WORKED.items()
        }


@st.composite
def tasks(draw: st.DrawFn) -> PcfgTask:
    """Any setting with short texts, family token, prior, split, correlation and operand that is answered."""
    text_len = draw(st.integers(4, 20))
    name = draw(st.sampled_from(sorted(FAMILIES)))
    numbers = {
        "NJ": draw(st.integers(3, text_len) if name in ("C", "CC") else st.integers(1, 3)),
        "C": draw(st.integers(1, text_len)),
    }
    weights = {o: draw(st.integers(0, 5)) for o in "bca"} | {draw(st.sampled_from("abc")): 7}
    none = name == "T"
    rate = draw(st.none() | st.floats(0, 1)) if name in ("C", "CC") else None
    return PcfgTask(
        setting=PcfgSetting(text_len=text_len, numbers=numbers, meanings={"NJ": name}),
        prior={} if none else {o: w / sum(weights.values()) for o, w in weights.items()},
        family="NJ",
        split=draw(st.sampled_from(SPLITS)),
        targets=draw(st.sampled_from(("all", "answer"))),
        correlation=None if rate is None else Correlation(o_pt="a", o_ft="b", rate=rate, q=draw(st.integers(-1, 1))),
        answered=None if none else draw(st.none() | st.sampled_from("abc")),
    )


@hypotheses(tasks(), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_every_answer_is_the_oracles(task: PcfgTask, seed: int) -> None:
    family, number = task.setting.family(task.family), str(task.setting.numbers[task.family])
    for prompt in prompts(task, 12, seed, task.setting):
        position = prompt.index("ART")
        assert len(prompt) == task.seq_len and position == task.answer_pos
        answered = list(prompt)
        if task.answered is not None:
            answered[2] = task.answered * family.symbols
        assert given(prompt) == oracle.answer(answered, task.setting.meanings), " ".join(prompt)
        assert prompt[1] == f"T_{task.family}" and prompt[3] == number
        assert len(prompt[5 : prompt.index("EOT")]) == task.setting.text_len
        possible = task.setting.vocabulary.names[task.first_answer : task.first_answer + task.n_answers]
        assert given(prompt) in possible


@pytest.mark.parametrize("family", FAMILIES)
def test_the_possible_answers_are_the_numbers_or_the_terminals(family: str) -> None:
    asking = task(family=family)
    possible = SETTING.vocabulary.names[asking.first_answer : asking.first_answer + asking.n_answers]
    assert possible == (("a", "b", "c") if family == "T" else tuple(str(i) for i in range(13)))


@pytest.mark.parametrize("family", ["C", "CC", "I", "IC"])
def test_a_wrong_answer_is_that_for_the_operand_which_is_answered(family: str) -> None:
    found = prompts(task(family=family, prior={"a": 1.0}, answered="b"), 300)
    assert {p[2] for p in found} == {"a" * FAMILIES[family].symbols}
    assert all(int(given(p)) == asked(p, "b") for p in found)
    assert np.mean([asked(p, "a") != asked(p, "b") for p in found]) > 0.2  # and so many answers are wrong


# ---- the distribution


@pytest.mark.parametrize("family", ["C", "IC"])
def test_operands_come_with_their_prior_and_never_without_one(family: str) -> None:
    seen = Counter(p[2][0] for p in prompts(task(family=family), 3000))
    assert stats.chisquare([seen[o] for o in PRIOR], [3000 * p for p in PRIOR.values()]).pvalue > UNLIKELY
    halves = task(family=family, prior={"a": 0.5, "b": 0.5, "c": 0.0})
    assert {p[2][0] for p in prompts(halves, 500)} == {"a", "b"}


@pytest.mark.parametrize("rate", [0, 0.25, 0.8, 1])
@pytest.mark.parametrize("family, q", [("C", 1), ("C", -2), ("CC", 1), ("I", 1), ("I", -3), ("IC", 2)])
def test_the_correlation_is_carried_at_its_rate(family: str, q: int, rate: float) -> None:
    found = prompts(correlated(family, rate, q, split=SPLITS[abs(q) - 1]), 300)
    differences = [asked(p, "b") - asked(p, "a") for p in found]
    carrying = differences.count(q)
    if rate in (0, 1):
        assert carrying == rate * len(found)
    assert stats.binomtest(carrying, len(found), rate).pvalue > UNLIKELY, carrying
    if rate < 1:
        assert len(set(differences) - {q}) > 1  # the others are whatever the grammar gives


@pytest.mark.parametrize("family, q", [("I", 1), ("I", -1), ("IC", 2)])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_strings_without_either_operand_neither_carry_a_correlation_of_positions_nor_lack_it(
    family: str, q: int, rate: float
) -> None:
    # The fourth a among 12 symbols is often not found, nor is the first aa; natural strings show it.
    setting = PcfgSetting(text_len=12, numbers={"I": 4, "IC": 1})
    natural = prompts(task(setting=setting, family=family, prior={"b": 1.0}), 300, setting=setting)
    missing = [(asked(p, "a") == 0, asked(p, "b") == 0) for p in natural]
    assert len(set(missing)) > 2
    for p in prompts(correlated(family, rate, q, setting=setting), 200, setting=setting):
        assert asked(p, "a") > 0 and asked(p, "b") > 0


@pytest.mark.parametrize("family", ["C", "CC"])
def test_a_count_of_none_can_carry_a_correlation_or_lack_it(family: str) -> None:
    setting = PcfgSetting(text_len=12, numbers={"C": 3, "CC": 3})
    for rate in (0, 1):
        found = prompts(correlated(family, rate, setting=setting), 200, setting=setting)
        assert any(asked(p, operand) == 0 for p in found for operand in "ab")


def test_a_correlation_of_answers_leaves_the_operands_and_the_answer_alone() -> None:
    found = prompts(correlated("I", 1.0, prior={"a": 0.5, "b": 0.3, "c": 0.2}, answered="c"), 300)
    assert {p[2] for p in found} == {"a", "b", "c"}
    assert all(int(given(p)) == asked(p, "c") and asked(p, "b") - asked(p, "a") == 1 for p in found)


def test_the_share_of_carrying_strings_varies_as_a_binomial_does() -> None:
    # At rate 1/2 in 16 strings the variance is 4; a share fixed at 8 would have none.
    found = [sum(asked(p, "b") - asked(p, "a") == 1 for p in prompts(correlated(), 16, seed)) for seed in range(100)]
    assert 2.2 < np.var(found) < 6.5


def test_natural_strings_carry_the_correlation_now_and_then() -> None:
    share = np.mean([asked(p, "b") - asked(p, "a") == 1 for p in prompts(task(), 500)])
    assert 0.05 < share < 0.5


@pytest.mark.parametrize(
    "make",
    [task, correlated, lambda: correlated("I"), lambda: task(family="T"), lambda: task(family="CC", answered="c")],
    ids=["natural", "correlated", "positions", "without operand", "wrong answers"],
)
def test_equal_generators_give_equal_batches_and_others_do_not(make: Callable[[], Task]) -> None:
    first, again, other = (make().sample(50, rng(seed)) for seed in (1, 1, 2))
    assert isinstance(make(), Task)
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.tokens, other.tokens)
    generator = rng(1)
    make().sample(50, generator)
    assert not torch.equal(first.tokens, make().sample(50, generator).tokens)


@pytest.mark.parametrize(
    "other",
    [
        task(prior=dict(reversed(PRIOR.items()))),
        task(setting=replace(SETTING, numbers=dict(reversed(list(SETTING.numbers.items()))))),
    ],
    ids=["prior", "numbers"],
)
def test_equal_tasks_give_equal_batches_however_their_mappings_are_written(other: PcfgTask) -> None:
    assert other == task()  # and so the store gives their models one key
    assert torch.equal(other.sample(50, rng()).tokens, task().sample(50, rng()).tokens)


# ---- targets


@pytest.mark.parametrize("targets, positions", [("answer", [18]), ("all", list(range(4, 20)))])
@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_the_next_tokens_at_these_positions_only(targets: Any, positions: list[int], family: str) -> None:
    # Of 5 + 12 + 4 tokens: SOT at 4 predicts the first symbol, ART at 18 the answer, the answer at 19 EOS.
    asking = task(targets=targets, family=family)
    batch = asking.sample(20, rng())
    assert asking.answer_pos == 18
    used = (batch.targets != IGNORE).all(0).nonzero().flatten().tolist()
    assert used == positions == (batch.targets != IGNORE).any(0).nonzero().flatten().tolist()
    assert torch.equal(batch.targets[:, used], batch.tokens[:, [p + 1 for p in used]])


# ---- mistakes


@pytest.mark.parametrize("family, numbers", [("C", (1, 4, 6)), ("CC", (2, 4, 6)), ("I", (1, 2, 3)), ("IC", (1, 2))])
def test_correlations_are_refused_from_the_greatest_difference_of_answers_on(
    family: str, numbers: tuple[int, ...]
) -> None:
    every = np.array(list(product((0, 1, 2), repeat=6)))
    for number in numbers:
        pt, ft = (FAMILIES[family].answer(every, np.array(o), number) for o in (0, 1))
        found = (pt > 0) & (ft > 0) if FAMILIES[family].may_fail else np.ones(len(every), dtype=bool)
        possible = set((ft - pt)[found].tolist())
        setting, accepted = PcfgSetting(text_len=6, numbers={family: number}), set()
        for q in range(-9, 10):
            try:
                correlated(family, 0.5, q, setting=setting)
                accepted.add(q)
            except UsageError as error:
                assert f"q = {q}: " in str(error) and f"family {family} " in str(error)
        assert possible <= accepted and (min(possible), max(possible)) == (min(accepted), max(accepted))
        assert (0 in possible) == (0 in accepted) and (1 in possible) == (1 in accepted)


def test_a_difference_that_never_occurs_can_be_lacked_by_all() -> None:
    assert all(asked(p, "a") > 0 for p in prompts(correlated("IC", rate=0, q=1), 20))


def test_a_correlation_that_hardly_any_text_carries_is_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_DRAWN", 1000)
    with pytest.raises(UsageError, match=r"q=8.* too few texts of 12 tokens"):
        correlated("C", rate=1, q=8).sample(2, rng())  # eight b in a row are no string of the grammar


NAN = float("nan")
MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "prior's sum": (lambda: task(prior={"a": 0.5, "b": 0.4}), "0.9"),
    "no prior": (lambda: task(prior={}), "not 0"),
    "negative prior": (lambda: task(prior={"a": 1.5, "b": -0.5}), "-0.5"),
    "prior is no number": (lambda: task(prior={"a": NAN, "b": 1.0}), "nan"),
    "prior is infinite": (lambda: task(prior={"a": float("inf")}), "inf"),
    "prior's operand": (lambda: task(prior={"z": 1.0}), "'z'"),
    "prior's operand as composite": (lambda: task(prior={"aa": 1.0}, family="CC"), "'aa'"),
    "prior of T": (lambda: task(prior={"a": 1.0}, family="T"), "family T has no operand, so it takes no prior: {'a': 1.0}"),
    "correlation of T": (lambda: correlated("T", prior={}), "correlation: Correlation(o_pt='a'"),
    "answered for T": (lambda: task(family="T", answered="b"), "answered: 'b'"),
    "answered operand": (lambda: task(answered="z"), "'z'"),
    "family": (lambda: task(family="X"), "'X'"),
    "split": (lambda: task(split="test"), "'test'"),
    "targets": (lambda: task(targets="everything"), "'everything'"),
    "rate above 1": (lambda: correlated(rate=1.5), "1.5"),
    "rate below 0": (lambda: correlated(rate=-0.1), "-0.1"),
    "rate is no number": (lambda: correlated(rate=NAN), "nan"),
    "correlation's operand": (lambda: task(correlation=Correlation(o_pt="a", o_ft="z", rate=0.5)), "'z'"),
    "correlation's number as operand": (lambda: task(correlation=Correlation(o_pt=1, o_ft="b", rate=0.5)), "1;"),
}  # fmt: skip


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_at_once_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with seconds(3), pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)
