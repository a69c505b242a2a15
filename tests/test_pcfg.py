"""PCFG tasks: prompts, answers, priors, spurious correlation, splits and targets are what was asked for."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from capbench.errors import UsageError
from capbench.presets import pcfg as presets
from capbench.tasks import oracle
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.correlation import Correlation
from capbench.tasks.families import FAMILIES
from capbench.tasks.grammar import Grammar
from capbench.tasks.pcfg import PcfgMixture, PcfgSetting, PcfgTask, counter_finetuning, pretraining

SETTING = PcfgSetting(text_len=12, numbers={"C": 8, "I": 2})
PRIOR = {"a": 0.7, "b": 0.2, "c": 0.1}
SPLITS = ("train", "select", "evaluate")
UNLIKELY = 1e-4  # seeds are fixed, so a test that passes once always does


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prompts(task: Any, n: int, seed: int = 0, setting: PcfgSetting = SETTING) -> list[list[str]]:
    """n prompts as words."""
    return [setting.vocabulary.decode(row).split() for row in task.sample(n, rng(seed)).tokens.tolist()]


def asked(prompt: list[str], operand: str) -> int:
    """The oracle's answer if the prompt asked for this operand."""
    return int(oracle.answer([*prompt[:2], operand, *prompt[3:]]))


def task(**changes: Any) -> PcfgTask:
    return PcfgTask(**{"setting": SETTING, "prior": PRIOR, **changes})


@contextmanager
def seconds(limit: float) -> Iterator[None]:
    """Fail, rather than hang, when the block takes longer."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"still at work after {limit} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- prompts and answers

# Eight equally likely strings, with the answers (C of a in the last 4, I: position from EOT of the 2nd b) by hand.
WORKED = {
    "a b a a c b": (2, 5),
    "b b b a a a": (3, 5),
    "a a a a a a": (4, 0),
    "c c c c c b": (0, 0),
    "b c a a c b": (2, 6),
    "a b c a b b": (1, 2),
    "b a c b c c": (0, 6),
    "c a b a b a": (2, 4),
}


def test_prompts_are_those_worked_out_by_hand() -> None:
    strings = tuple((tuple(text.split()), 1 / len(WORKED)) for text in WORKED)
    setting = PcfgSetting(text_len=6, numbers={"C": 4, "I": 2}, grammar=Grammar(start="S", rules={"S": strings}))
    lines = {f"SOS T_C a 4 SOT {text} EOT ART {count} EOS" for text, (count, _) in WORKED.items()}
    lines |= {f"SOS T_I b 2 SOT {text} EOT ART {index} EOS" for text, (_, index) in WORKED.items()}
    seen = set()
    for family, operand in (("C", "a"), ("I", "b")):
        for split in SPLITS:
            with seconds(5):  # a split without any of the eight strings would be looked for forever
                asking = task(setting=setting, prior={operand: 1.0}, family=family, split=split)
                seen |= {" ".join(p) for p in prompts(asking, 40, setting=setting)}
    assert seen == lines


@pytest.mark.parametrize("text, answers", WORKED.items())
def test_a_familys_answers_on_arrays_are_those_worked_out_by_hand(text: str, answers: tuple[int, int]) -> None:
    words = np.array([["abc".index(w) for w in text.split()]])
    assert (FAMILIES["C"](words, np.array([0]), 4).item(), FAMILIES["I"](words, np.array([1]), 2).item()) == answers


@st.composite
def tasks(draw: st.DrawFn) -> PcfgTask:
    """Any setting with short texts, prior, family, split and correlation."""
    text_len = draw(st.integers(4, 20))
    numbers = {"C": draw(st.integers(3, text_len)), "I": draw(st.integers(1, 4))}
    if draw(st.booleans()):
        numbers = dict(reversed(numbers.items()))
    weights = {o: draw(st.integers(0, 5)) for o in "bca"} | {draw(st.sampled_from("abc")): 7}
    rate = draw(st.none() | st.floats(0, 1))
    return PcfgTask(
        setting=PcfgSetting(text_len=text_len, numbers=numbers),
        prior={o: w / sum(weights.values()) for o, w in weights.items()},
        family="C" if rate is not None else draw(st.sampled_from("CI")),
        split=draw(st.sampled_from(SPLITS)),
        targets=draw(st.sampled_from(("all", "answer"))),
        correlation=None if rate is None else Correlation(o_pt="a", o_ft="b", rate=rate, q=draw(st.integers(-1, 1))),
    )


@given(tasks(), st.integers(0, 2**32))
@settings(max_examples=60)
def test_every_answer_is_the_oracles(task: PcfgTask, seed: int) -> None:
    for prompt in prompts(task, 12, seed, task.setting):
        position = prompt.index("ART")
        assert len(prompt) == task.seq_len and position == task.answer_pos
        assert prompt[position + 1] == oracle.answer(prompt), " ".join(prompt)
        assert prompt[1] == f"T_{task.family}" and prompt[3] == str(task.setting.numbers[task.family])
        assert len(prompt[5 : prompt.index("EOT")]) == task.setting.text_len


def test_the_papers_own_setting_gives_prompts_of_259_tokens() -> None:
    setting = presets.paper().setting
    batch = pretraining(setting, PRIOR).sample(4, rng())
    assert batch.tokens.shape == batch.targets.shape == (4, 5 + 250 + 4)
    for prompt in prompts(pretraining(setting, PRIOR), 4, setting=setting):
        assert prompt[-2] == oracle.answer(prompt)


# ---- the distribution


def test_operands_come_with_their_prior_and_never_without_one() -> None:
    seen = Counter(p[2] for p in prompts(task(), 3000))
    assert stats.chisquare([seen[o] for o in PRIOR], [3000 * p for p in PRIOR.values()]).pvalue > UNLIKELY
    assert {p[2] for p in prompts(task(prior={"a": 0.5, "b": 0.5, "c": 0.0}), 500)} == {"a", "b"}


@pytest.mark.parametrize("rate", [0, 0.25, 0.8, 1])
@pytest.mark.parametrize("split", SPLITS)
def test_the_correlation_is_carried_at_its_rate(rate: float, split: Any) -> None:
    asking = task(prior={"b": 1.0}, correlation=Correlation(o_pt="a", o_ft="b", rate=rate), split=split)
    found = prompts(asking, 400)
    carrying = sum(asked(p, "b") - asked(p, "a") == 1 for p in found)
    if rate in (0, 1):
        assert carrying == rate * len(found)
    assert stats.binomtest(carrying, len(found), rate).pvalue > UNLIKELY, carrying


def test_the_share_of_carrying_strings_varies_as_a_binomial_does() -> None:
    # At rate 1/2 in 16 strings the variance is 4; a share fixed at 8 would have none.
    asking = task(prior={"b": 1.0}, correlation=Correlation(o_pt="a", o_ft="b", rate=0.5))
    found = [sum(asked(p, "b") - asked(p, "a") == 1 for p in prompts(asking, 16, seed)) for seed in range(150)]
    assert 2.5 < np.var(found) < 6


def test_natural_strings_carry_the_correlation_now_and_then() -> None:
    share = np.mean([asked(p, "b") - asked(p, "a") == 1 for p in prompts(task(), 500)])
    assert 0.05 < share < 0.5


def test_splits_share_no_text_whatever_the_seeds() -> None:
    setting = PcfgSetting(text_len=8, numbers={"C": 6, "I": 1})  # few enough texts that a split meets them again
    drawn = {
        (split, seed): {
            tuple(p[5:13])
            for c in (None, Correlation(o_pt="a", o_ft="b", rate=0.5))
            for p in prompts(task(setting=setting, split=split, correlation=c), 300, seed, setting)
        }
        for split in SPLITS
        for seed in (0, 1, 2)
    }
    for (one, first), texts in drawn.items():
        for (other, second), others in drawn.items():
            assert bool(texts & others) == (one == other), (one, first, other, second)


@pytest.mark.parametrize(
    "make",
    [
        task,
        lambda: task(correlation=Correlation(o_pt="a", o_ft="b", rate=0.5)),
        lambda: pretraining(SETTING, PRIOR),
        lambda: counter_finetuning(SETTING, PRIOR, o_pt="a", o_ft="b", c_tr=0.5),
    ],
    ids=["natural", "correlated", "mixture", "fine-tuning"],
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
        task(setting=replace(SETTING, numbers=dict(reversed(SETTING.numbers.items())))),
    ],
    ids=["prior", "numbers"],
)
def test_equal_tasks_give_equal_batches_however_their_mappings_are_written(other: PcfgTask) -> None:
    assert other == task()  # and so the store gives their models one key
    assert torch.equal(other.sample(50, rng()).tokens, task().sample(50, rng()).tokens)


def test_a_mixture_draws_its_families_equally_often_and_mixed() -> None:
    families = [p[1] for p in prompts(pretraining(SETTING, PRIOR), 2000)]
    for part in (families, families[:500], families[-500:]):
        assert stats.binomtest(part.count("T_C"), len(part), 0.5).pvalue > UNLIKELY
    single = PcfgMixture(parts=(task(family="I"),))
    assert {p[1] for p in prompts(single, 20)} == {"T_I"}


def test_a_fine_tuning_task_has_its_three_streams() -> None:
    streams = counter_finetuning(SETTING, PRIOR, o_pt="a", o_ft="b", c_tr=1.0)
    assert prompts(streams, 30) == prompts(streams.target, 30)
    assert all(p[1:3] == ["T_C", "b"] and asked(p, "b") - asked(p, "a") == 1 for p in prompts(streams, 100))
    forget = prompts(streams.forget, 100)
    assert {p[2] for p in forget} == {"a"} and len({asked(p, "b") - asked(p, "a") for p in forget}) > 2
    assert {tuple(p[1:3]) for p in prompts(streams.retain, 400)} == {(f"T_{f}", o) for f in "CI" for o in "abc"}


# ---- targets


@pytest.mark.parametrize("targets, positions", [("answer", [18]), ("all", list(range(4, 20)))])
@pytest.mark.parametrize("family", ["C", "I"])
def test_targets_are_the_next_tokens_at_these_positions_only(targets: Any, positions: list[int], family: str) -> None:
    # Of 5 + 12 + 4 tokens: SOT at 4 predicts the first symbol, ART at 18 the answer, the answer at 19 EOS.
    batch = task(targets=targets, family=family).sample(20, rng())
    assert task().answer_pos == 18
    used = (batch.targets != IGNORE).all(0).nonzero().flatten().tolist()
    assert used == positions == (batch.targets != IGNORE).any(0).nonzero().flatten().tolist()
    assert torch.equal(batch.targets[:, used], batch.tokens[:, [p + 1 for p in used]])


# ---- mistakes

NAN = float("nan")


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "prior's sum": (lambda: task(prior={"a": 0.5, "b": 0.4}), "0.9"),
    "negative prior": (lambda: task(prior={"a": 1.5, "b": -0.5}), "-0.5"),
    "prior is no number": (lambda: task(prior={"a": NAN}), "nan"),
    "prior's operand": (lambda: task(prior={"z": 1.0}), "'z'"),
    "family": (lambda: task(family="X"), "'X'"),
    "split": (lambda: task(split="test"), "'test'"),
    "targets": (lambda: task(targets="everything"), "'everything'"),
    "setting's family": (lambda: PcfgSetting(text_len=12, numbers={"X": 3}), "'X'"),
    "window longer than text": (lambda: PcfgSetting(text_len=12, numbers={"C": 13}), "13"),
    "no window": (lambda: PcfgSetting(text_len=12, numbers={"C": 0}), "0"),
    "setting's operand": (lambda: PcfgSetting(text_len=12, numbers={"C": 3}, operands=("a", "q")), "'q'"),
    "rate above 1": (lambda: Correlation(o_pt="a", o_ft="b", rate=1.5), "1.5"),
    "rate below 0": (lambda: Correlation(o_pt="a", o_ft="b", rate=-0.1), "-0.1"),
    "rate is no number": (lambda: Correlation(o_pt="a", o_ft="b", rate=NAN), "nan"),
    "correlation's operand": (
        lambda: task(correlation=Correlation(o_pt="a", o_ft="z", rate=0.5)).sample(2, rng()),
        "'z'",
    ),
    "impossible correlation": (
        lambda: task(correlation=Correlation(o_pt="a", o_ft="b", rate=1, q=9)).sample(2, rng()),
        "9",
    ),
    "text longer than any string": (
        lambda: PcfgTask(setting=PcfgSetting(text_len=999, numbers={"C": 4}), prior=PRIOR).sample(2, rng()),
        "999",
    ),
}


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_within_seconds_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with seconds(3), pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)
