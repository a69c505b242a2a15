"""Drawn PCFG tasks: answers are the oracle's, data and keys follow from the specification alone, and faults are shrunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pcfg_prompts import FORMATS, SPLITS, asked, prompts, rng
from pcfg_prompts import given as answer_of

from capbench.tasks.base import IGNORE
from capbench.tasks.correlation import Correlation
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.pcfg import oracle
from capbench.tasks.pcfg.families import FAMILIES
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.prompt import PromptFormat
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask
from capbench.variants import strategies
from capbench.variants.strategies import (
    c_trs,
    correlations,
    finetuning_tasks,
    gpt_sizes,
    grammars,
    operand_pairs,
    operand_priors,
    pcfg_settings,
    pcfg_tasks,
    prompt_formats,
    train_configs,
)

SEEDS = st.integers(0, 2**32)
ASKING = ("C", "CC", "I", "IC")
QUICK = settings(
    deadline=None, database=None, derandomize=True, phases=[Phase.generate, Phase.shrink]
)  # no explanations


def simplest(strategy: SearchStrategy[Any]) -> Any:
    return find(strategy, lambda _: True, settings=QUICK)


LETTERS = Grammar(
    start="S", terminals=("a", "b", "c"), rules={"S": ((("X1",) * 8, 1.0),), "X1": tuple(((x,), 1 / 3) for x in "abc")}
)

SMALL = PcfgSetting(text_len=8, numbers={"C": 6}, grammar=LETTERS)
SIMPLEST = PcfgTask(setting=SMALL, prior={"a": 1.0, "b": 0.0, "c": 0.0})


def text_of(prompt: list[str]) -> list[str]:
    return prompt[prompt.index("SOT") + 1 : prompt.index("EOT")]


# ---- answers and prompts


def expected(task: PcfgTask, prompt: list[str], oracles: Callable[..., str] = oracle.answer) -> str:
    """What an oracle answers, to the operand that the task answers for."""
    s = task.setting
    if task.answered is not None:
        return str(asked(prompt, task.answered, s.meanings, s.format))
    return oracles(prompt, s.meanings, s.format)


@pytest.mark.slow
@given(pcfg_tasks(), SEEDS)
@settings(deadline=None, max_examples=150)
def test_every_answer_is_the_oracles(task: PcfgTask, seed: int) -> None:
    s = task.setting
    for prompt in prompts(task, 12, seed, s):
        assert len(prompt) == task.seq_len and prompt[task.answer_pos] == "ART" and prompt[-1] == "EOS"
        assert len(text_of(prompt)) == s.text_len
        assert answer_of(prompt) == expected(task, prompt), " ".join(prompt)


@given(pcfg_tasks(), SEEDS)
@settings(deadline=None, max_examples=50)
def test_the_answer_does_not_depend_on_the_form_of_the_prompt(task: PcfgTask, seed: int) -> None:
    """In all forms the same words in another order, and the same answer."""
    default, *others = (
        prompts(replace(task, setting=replace(task.setting, format=form)), 4, seed, task.setting) for form in FORMATS
    )
    for other in others:
        for one, turned in zip(default, other, strict=True):
            assert sorted(one) == sorted(turned) and text_of(one) == text_of(turned)
            assert answer_of(one) == answer_of(turned)
    assert len({tuple(form[0]) for form in [default, *others]}) == len(FORMATS)


@given(pcfg_tasks(), SEEDS)
@settings(deadline=None, max_examples=80)
def test_prompts_are_words_and_back(task: PcfgTask, seed: int) -> None:
    vocabulary = task.setting.vocabulary
    batch = task.sample(16, rng(seed))
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        assert vocabulary.encode(vocabulary.decode(tokens)) == tokens
        aimed = [i for i, target in enumerate(targets) if target != IGNORE]
        assert all(targets[i] == tokens[i + 1] for i in aimed) and task.answer_pos in aimed
        if task.targets == "answer":
            assert aimed == [task.answer_pos]


# ---- correlations


@st.composite
def correlated(draw: st.DrawFn, rates: tuple[float, ...] = (0.0, 1.0)) -> PcfgTask:
    s = draw(pcfg_settings(ASKING))
    token = draw(st.sampled_from([token for token in s.families if s.family(token).name != "T"]))
    family = s.family(token).name
    c = draw(correlations(s.operands, family, s.numbers[token], rates=st.sampled_from(rates)))
    split = draw(st.sampled_from(SPLITS))
    return PcfgTask(setting=s, prior=draw(operand_priors(s.operands)), family=token, correlation=c, split=split)


def carries(c: Correlation, pt: int, ft: int) -> bool:
    return {"offset": ft - pt == c.q, "parity": (ft + pt + c.q) % 2 == 0, "order": ft > pt}.get(
        c.relation, bool(pt) == bool(ft)
    )


@pytest.mark.slow
@given(correlated(), SEEDS)
@settings(deadline=None, max_examples=100)
def test_all_strings_or_none_carry_the_correlation_by_the_oracles_answers(task: PcfgTask, seed: int) -> None:
    s, c = task.setting, task.correlation
    assert c is not None
    for prompt in prompts(task, 16, seed, s):
        pt, ft = (asked(prompt, str(operand), s.meanings, s.format) for operand in (c.o_pt, c.o_ft))
        assert carries(c, pt, ft) == (c.rate == 1), (c, " ".join(prompt))
        assert not s.family(task.family).may_fail or (pt and ft)


@given(correlated(rates=(0.5, 0.2, 0.8)), SEEDS)
@settings(deadline=None, max_examples=40, derandomize=True)
def test_a_share_of_the_strings_carries_the_correlation(task: PcfgTask, seed: int) -> None:
    s, c = task.setting, task.correlation
    assert c is not None
    seen = [
        carries(c, *(asked(prompt, str(operand), s.meanings, s.format) for operand in (c.o_pt, c.o_ft)))
        for prompt in prompts(task, 100, seed, s)
    ]
    assert abs(np.mean(seen) - c.rate) < 6 * np.sqrt(c.rate * (1 - c.rate) / 100)


# ---- splits and seeds


@given(pcfg_settings(), SEEDS, SEEDS)
@settings(deadline=None, max_examples=60)
def test_no_text_is_in_two_splits(s: PcfgSetting, seed: int, other: int) -> None:
    texts = {split: s.texts(32, split, np.random.default_rng(seed)) for split in SPLITS}
    again = {split: {tuple(t) for t in s.texts(32, split, np.random.default_rng(other)).tolist()} for split in SPLITS}
    for one in SPLITS:
        for split in SPLITS:
            assert s.in_split(texts[one], split).all() == s.in_split(texts[one], split).any() == (one == split)
            assert one == split or not again[split] & {tuple(text) for text in texts[one].tolist()}


@given(correlated(), SEEDS, st.sampled_from(SPLITS))
@settings(deadline=None, max_examples=50)
def test_also_texts_with_a_correlation_stay_in_their_split(task: PcfgTask, seed: int, split: Any) -> None:
    terminals = task.setting.operands
    texts = [[terminals.index(letter) for letter in text_of(p)] for p in prompts(task, 16, seed, task.setting)]
    assert (task.setting.in_split(np.array(texts), split) == (split == task.split)).all()


@given(finetuning_tasks() | pcfg_tasks(), SEEDS, SEEDS)
@settings(deadline=None, max_examples=60)
def test_equal_seeds_give_equal_data_and_others_do_not(task: PcfgTask | FineTuningTask, one: int, other: int) -> None:
    first, again, different = (task.sample(16, rng(seed)) for seed in (one, one, other))
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.targets, again.targets)
    assert torch.equal(first.tokens, different.tokens) == (one == other)


@given(finetuning_tasks(), SEEDS)
@settings(deadline=None, max_examples=50)
def test_the_streams_of_fine_tuning_are_of_one_shape_and_can_be_drawn(task: FineTuningTask, seed: int) -> None:
    for stream in (task.target, task.retain, task.forget, task.others or task.target):
        batch = stream.sample(12, rng(seed))
        assert batch.tokens.shape == (12, task.seq_len) and int(batch.tokens.max()) < task.vocab_size
        assert (batch.targets != IGNORE).sum(1).tolist() == [1] * 12


# ---- strategies


STRATEGIES: dict[str, SearchStrategy[Any]] = {
    "grammars": grammars(),
    "grammars that recur": grammars(recursive=True, max_letters=10, max_depth=6),
    "operand_pairs": operand_pairs("abcde"),
    "operand_priors": operand_priors("abcde"),
    "numbers": strategies.numbers("C", 12),
    "prompt_formats": prompt_formats(),
    "c_trs": c_trs(),
    **{f"correlations {family}": correlations("abc", family, 6 if family in "CC" else 1) for family in ASKING},
    "pcfg_tasks": pcfg_tasks(),
    "finetuning_tasks": finetuning_tasks(),
    "gpt_sizes": gpt_sizes(),
    "train_configs": train_configs(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_hardly_any_draw_is_thrown_away(name: str) -> None:
    """By a filter; that Hypothesis ends a draw because it wanted a shorter one does not count."""
    tried: list[int] = []
    filtered: list[str] = []

    @given(st.data())
    @settings(deadline=None, max_examples=200, derandomize=True, database=None, phases=[Phase.generate])
    def draws(data: st.DataObject) -> None:
        tried.append(1)
        try:
            data.draw(STRATEGIES[name])
        finally:
            known = data.conjecture_data
            again = [event for event in known.events if event.startswith("Retried draw")]
            filtered.extend(again or ["given up"] * (known.status.name == "INVALID"))

    draws()
    assert tried and len(filtered) <= 0.02 * len(tried), filtered[:3]


def test_the_counter_of_filtered_draws_counts() -> None:
    STRATEGIES["filtered"] = st.integers(0, 9999).filter(lambda n: n % 20 > 0)
    try:
        with pytest.raises(AssertionError, match="Retried draw"):
            test_hardly_any_draw_is_thrown_away("filtered")
    finally:
        del STRATEGIES["filtered"]


@given(st.integers(2, 6).map(lambda n: "abcdef"[:n]), st.data())
@settings(deadline=None, max_examples=100)
def test_priors_and_pairs_are_of_the_letters(letters: str, data: st.DataObject) -> None:
    prior = data.draw(operand_priors(letters))
    assert list(prior) == list(letters) and abs(sum(prior.values()) - 1) < 1e-12 and min(prior.values()) >= 0
    o_pt, o_ft = data.draw(operand_pairs(letters))
    assert o_pt != o_ft and {o_pt, o_ft} <= set(letters)


@pytest.mark.slow
def test_everything_that_there_is_gets_drawn() -> None:
    """In enough draws: which they are depends, derandomised too, on the constants in whatever modules are loaded."""
    tasks: list[PcfgTask] = []

    @given(pcfg_tasks())
    @settings(deadline=None, max_examples=350, derandomize=True, database=None, phases=[Phase.generate])
    def draws(task: PcfgTask) -> None:
        tasks.append(task)

    draws()
    assert {t.setting.family(t.family).name for t in tasks} == set(FAMILIES)
    assert {t.setting.family(t.family).name for t in tasks if t.correlation} == set(ASKING)
    assert {t.setting.format.question for t in tasks} == {"before", "after"}
    assert {t.split for t in tasks} == set(SPLITS) and {t.targets for t in tasks} == {"answer", "all"}
    assert any(t.setting.meanings and t.family not in FAMILIES for t in tasks)
    assert any(t.setting.edited for t in tasks) and any(t.answered for t in tasks)


@pytest.mark.slow
def test_all_relations_are_drawn_where_they_are_possible() -> None:
    def relations(family: str, number: int) -> set[str]:
        drawn: set[str] = set()

        @given(correlations("abc", family, number))
        @settings(max_examples=200, derandomize=True, database=None, phases=[Phase.generate])
        def draws(c: Correlation) -> None:
            drawn.add(c.relation)

        draws()
        return drawn

    anywhere = {"offset", "parity", "order"}
    assert relations("C", 8) == relations("CC", 20) == {*anywhere, "presence"}
    assert relations("C", 9) == relations("I", 2) == relations("IC", 1) == anywhere


@pytest.mark.slow
def test_the_simplest_tasks_are_the_papers_counter() -> None:
    assert simplest(pcfg_tasks()) == SIMPLEST
    tuned = simplest(finetuning_tasks())
    assert tuned.target == replace(
        SIMPLEST, prior={"b": 1.0}, correlation=Correlation(o_pt="a", o_ft="b", rate=1.0, q=1)
    )
    assert tuned.others is None and simplest(gpt_sizes()) == (8, 1, 1) and simplest(prompt_formats()) == PromptFormat()


def test_a_planted_fault_is_found_and_shrunk_to_the_simplest_task() -> None:
    """An oracle off by one for texts that begin with the operand: nothing but that is left of the example."""

    def off_by_one(prompt: list[str], meanings: Mapping[str, str], form: PromptFormat) -> str:
        right = oracle.answer(prompt, meanings, form)
        operand = prompt[(1 if form.question == "before" else prompt.index("EOT") + 1) + form.header.index("operand")]
        return str(int(right) + 1) if text_of(prompt)[0] == operand else right

    def failing(task: PcfgTask, seed: int) -> list[list[str]]:
        return [p for p in prompts(task, 8, seed, task.setting) if answer_of(p) != expected(task, p, off_by_one)]

    task, seed = find(st.tuples(pcfg_tasks(), SEEDS), lambda drawn: bool(failing(*drawn)), settings=QUICK)
    assert task == SIMPLEST and seed == 0
    assert all(p[1:4] == ["T_C", "a", "6"] and len(text_of(p)) == 8 and text_of(p)[0] == "a" for p in failing(task, 0))
