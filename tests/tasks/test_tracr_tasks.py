"""Tracr tasks: answers, splits, streams and refusals are what was asked for, and equal generators give equal strings."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tracr_strings import COUNTER, MAX, SPLITS, TASKS, answers, contents, counter, difference, largest, rng

import capbench.tasks
from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.correlation import Correlation
from capbench.tasks.tracr.programs import interpret
from capbench.tasks.tracr.tasks import CounterTask, MaxTask

# ---- strings and answers


def test_a_string_is_bos_content_and_padding() -> None:
    task = CounterTask(min_content=2, max_content=4)
    assert task.vocabulary == ("#", "$", "a", "b", "c", "d", "e", "f", "g", "h", "i") and task.vocab_size == 11
    assert (task.bos, task.pad, task.seq_len, task.answer_pos, task.answer_weight) == ("$", "#", 5, 2, 1)
    assert task.encode("bad") == [1, 3, 2, 5, 0] and task.decode([1, 3, 2, 5, 0]) == ["b", "a", "d"]
    assert task.answers == (0, 1, 2, 3, 4)
    assert MAX.vocabulary[:3] == ("#", "$", "a") and MAX.vocab_size == 28 and "".join(MAX.answers) == MAX.alphabet


@st.composite
def counters(draw: st.DrawFn) -> CounterTask:
    shortest = draw(st.integers(6, 12))
    largest_count = draw(st.none() | st.integers(2, 9))
    rate = draw(st.none() | st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
    pair = draw(st.sampled_from([("a", "b"), ("b", "a"), ("d", "h")]))
    return CounterTask(
        operand=draw(st.sampled_from(pair)),
        counted=pair,
        largest_count=largest_count,
        correlation=None
        if rate is None
        else Correlation(o_pt=pair[1], o_ft=pair[0], rate=rate, q=draw(st.integers(-2, 2))),
        min_content=shortest,
        max_content=shortest + draw(st.integers(0, 8)),
        split=draw(st.sampled_from(SPLITS)),
    )


@st.composite
def maxima(draw: st.DrawFn) -> MaxTask:
    o_pt, o_ft = draw(st.lists(st.integers(1, 7), min_size=2, max_size=2, unique=True))
    shortest = draw(st.integers(max(2, o_pt, o_ft), 10))
    longest = shortest + draw(st.integers(0, 8))
    alphabet = "abcdefghijklmnopqrstuvwxyz"[: longest + draw(st.integers(1, 8))]
    q = draw(st.integers(0, len(alphabet) - longest)) + abs(o_ft - o_pt)
    rate = draw(st.none() | st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
    return MaxTask(
        rank=draw(st.sampled_from([o_pt, o_ft])),
        alphabet=alphabet,
        correlation=None if rate is None else Correlation(o_pt=o_pt, o_ft=o_ft, rate=rate, q=q if o_ft > o_pt else -q),
        min_content=shortest,
        max_content=longest,
        split=draw(st.sampled_from(SPLITS)),
    )


@given(counters() | maxima(), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_every_answer_is_the_interpreters(task: CounterTask | MaxTask, seed: int) -> None:
    try:
        batch = task.sample(12, rng(seed))
    except UsageError as error:  # some of the smallest tasks have hardly any strings
        assert "too few" in str(error) and task.split != "train"
        return
    program = task.program()
    for tokens, answer in zip(batch.tokens.tolist(), answers(task, batch), strict=True):
        letters = task.decode(tokens)
        assert interpret(program, letters)[1] == answer, letters
        assert task.encode(letters) == tokens and task.min_content <= len(letters) <= task.max_content
        if isinstance(task, MaxTask):
            assert len(set(letters)) == len(letters), letters
        else:
            most = min(len(letters) // 2, task.largest_count or len(letters))
            assert max(letters.count(letter) for letter in task.counted) <= most, letters


@given(counters() | maxima(), st.sampled_from([0, 1]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_operands_and_q_all_strings_or_none_carry_the_correlation(
    task: CounterTask | MaxTask, rate: int
) -> None:
    if task.correlation is None:
        return
    task = replace(task, correlation=(c := replace(task.correlation, rate=rate)), split="train")
    for letters in contents(task, 20):
        if isinstance(task, CounterTask):
            carried = letters.count(str(c.o_ft)) - letters.count(str(c.o_pt)) == c.q
        else:
            ordered = sorted(letters)
            carried = ord(ordered[int(c.o_ft) - 1]) - ord(ordered[int(c.o_pt) - 1]) == c.q
        assert carried == bool(rate), letters


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_only_target_is_the_answer_at_the_second_letter(task: Any) -> None:
    batch = task.sample(50, rng())
    assert batch.tokens.shape == batch.targets.shape == (50, task.seq_len)
    assert batch.tokens.dtype == batch.targets.dtype == torch.int64
    assert (batch.targets != IGNORE).nonzero()[:, 1].unique().tolist() == [2]
    assert isinstance(task, Task) and len(task.sample(0, rng()).tokens) == 0


# ---- splits and reproducibility

FEW = {
    "counter": CounterTask(min_content=3, max_content=4),
    "max": MaxTask(rank=3, alphabet="abcdefgh", min_content=4, max_content=5),
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "counter": [{}, {"operand": "b", "correlation": Correlation(o_pt="a", o_ft="b", rate=0.5)}, {"max_content": 6}],
    "max": [{}, {"rank": 2, "correlation": Correlation(o_pt=2, o_ft=3, rate=0.5)}, {"max_content": 7}],
}


@pytest.mark.parametrize("name", FEW)
def test_splits_share_no_content_whatever_the_seed_and_the_rest_of_the_task(name: str) -> None:
    drawn = {
        (split, seed, i): {
            tuple(letters)
            for letters in contents(replace(FEW[name], split=split, **changes), 600, seed)  # type: ignore[arg-type]
        }
        for split in SPLITS
        for seed in (0, 1)
        for i, changes in enumerate(VARIANTS[name])
    }
    for one, strings in drawn.items():
        for other, others in drawn.items():
            assert bool(strings & others) == (one[0] == other[0]), (one, other)


def test_training_has_14_of_16_strings() -> None:
    task = MaxTask(rank=1, min_content=2, max_content=2)
    found = {tuple(letters) for letters in contents(task, 20_000)}
    assert len(found) == pytest.approx(26 * 25 * 14 / 16, rel=0.05)


@pytest.mark.parametrize(
    "task",
    [*TASKS.values(), counter(0.5), largest(0.5), COUNTER.finetuning("b", c_tr=0.5), MAX.finetuning(7, c_tr=0.5, q=3)],
    ids=lambda task: task.name,
)
def test_equal_generators_give_equal_batches_and_others_do_not(task: Task) -> None:
    generator = rng(1)
    first, again, other = (task.sample(50, g) for g in (generator, rng(1), rng(2)))
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.tokens, other.tokens)
    assert not torch.equal(first.tokens, task.sample(50, generator).tokens)


@pytest.mark.parametrize("before", TASKS.values(), ids=TASKS)
def test_a_fine_tuning_task_has_its_three_streams(before: Any) -> None:
    o_ft = "b" if before is COUNTER else 7
    streams = before.finetuning(o_ft, c_tr=1.0, q=2)
    assert isinstance(streams, Task) and streams.retain == streams.forget == before
    assert torch.equal(streams.sample(30, rng()).targets, streams.target.sample(30, rng()).targets)
    assert all(difference(before, letters) == 2 for letters in contents(streams.target, 100))
    assert len({difference(before, letters) for letters in contents(streams.forget, 100)}) > 4
    assert streams.target.program().name == before.program().name == "answer"
    assert getattr(streams.target, "operand", getattr(streams.target, "rank", None)) == o_ft


def test_a_task_is_described_and_made_without_torch_jax_and_tracr() -> None:
    modules = ", ".join(m.name for m in pkgutil.walk_packages(capbench.tasks.__path__, "capbench.tasks."))
    assert "capbench.tasks.tracr.tasks" in modules
    program = (
        f"import sys, {modules}; capbench.tasks.tracr.tasks.MaxTask(min_content=8, max_content=9).finetuning(7, c_tr=1, q=2);"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'jax', 'tracr'}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\n", "")


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "alphabet out of order": (lambda: CounterTask(alphabet="bac", min_content=4, max_content=6), "'bac'"),
    "letter twice": (lambda: CounterTask(alphabet="abbc", min_content=4, max_content=6), "'abbc'"),
    "padding as a letter": (lambda: CounterTask(alphabet="#abc", min_content=4, max_content=6), "'#abc'"),
    "no second letter": (lambda: CounterTask(min_content=1, max_content=6), "min_content = 1 "),
    "longest before shortest": (lambda: CounterTask(min_content=8, max_content=6), "max_content = 6"),
    "split": (lambda: replace(COUNTER, split="test"), "'test'"),  # type: ignore[arg-type]
    "operand": (lambda: replace(COUNTER, operand="z"), "'z'"),
    "counted letter": (lambda: replace(COUNTER, counted=("a", "z")), "'z'"),
    "one counted letter": (lambda: replace(COUNTER, counted=("a", "a")), "('a', 'a')"),
    "no letter to fill up with": (lambda: replace(COUNTER, alphabet="ab"), "'ab'"),
    "largest count": (lambda: replace(COUNTER, largest_count=0), "largest_count = 0"),
    "correlation's letter": (lambda: COUNTER.finetuning("c", c_tr=1), "'c'"),
    "relation of counts": (
        lambda: replace(COUNTER, correlation=Correlation(o_pt="a", o_ft="b", rate=1, relation="parity")),
        "'parity'",
    ),
    "relation of letters": (
        lambda: replace(MAX, rank=7, correlation=Correlation(o_pt=5, o_ft=7, rate=1, relation="order")),
        "'order': the Tracr tasks support only 'offset'",
    ),
    "correlation's letters are ranks": (
        lambda: replace(COUNTER, correlation=Correlation(o_pt=5, o_ft=7, rate=1)),
        "between 5 and 7",
    ),
    "q longer than strings": (lambda: counter(1, q=6), "q = 6 does not fit"),
    "q too low": (lambda: counter(1, q=-6), "q = -6 does not fit"),
    "q above the largest count": (lambda: counter(1, q=4, largest_count=3), "at most 3"),
    "more than the alphabet": (lambda: replace(MAX, max_content=27), "max_content = 27"),
    "rank above length": (lambda: replace(MAX, rank=9), "rank 9"),
    "no rank": (lambda: replace(MAX, rank=0), "rank 0"),
    "correlation's rank": (lambda: MAX.finetuning(9, c_tr=1, q=4), "rank 9"),
    "correlation's ranks are letters": (
        lambda: replace(MAX, correlation=Correlation(o_pt="a", o_ft="b", rate=1)),
        "rank 'a'",
    ),
    "rank outside of the correlation": (lambda: largest(1, rank=6), "rank = 6"),
    "equal ranks": (lambda: MAX.finetuning(5, c_tr=1, q=0), "5 and 5"),
    "q less than the ranks": (lambda: largest(1, q=1), "q = 1 is impossible"),
    "q of the wrong sign": (lambda: largest(1, q=-3), "from 2 to 14"),
    "q of the wrong sign, ranks turned": (
        lambda: replace(MAX, correlation=Correlation(o_pt=7, o_ft=5, rate=1, q=3)),
        "from -14 to -2",
    ),
    "q longer than the alphabet": (lambda: largest(1, q=15), "q = 15"),
    "nothing else is possible": (lambda: largest(0.5, q=2, max_content=26), "at most 25"),
    "letter to encode": (lambda: COUNTER.encode("az"), "'z'"),
    "padding to encode": (lambda: COUNTER.encode("a#"), "'#'"),
    "too long to encode": (lambda: COUNTER.encode("a" * 17), "17 letters"),
    "no string in the split": (
        lambda: MaxTask(rank=1, alphabet="ab", min_content=2, max_content=2, split="evaluate").sample(2, rng()),
        "'evaluate'",
    ),
}


@pytest.mark.parametrize("wrong, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_and_quoted(wrong: Callable[[], object], quoted: str) -> None:
    with pytest.raises(UsageError) as error:
        wrong()
    assert quoted in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("q", [2, 14])
def test_the_nearest_and_the_furthest_possible_q_have_strings(q: int) -> None:
    # At 14 of 26 letters 12 are left out; all of them can lie between the 5th and the 7th, and then e is the 5th.
    assert all(difference(MAX, letters) == q for letters in contents(largest(1, q=q), 50))
    whole = largest(1, q=2, max_content=26, min_content=26)
    assert all(sorted(letters) == list(whole.alphabet) for letters in contents(whole, 5))
