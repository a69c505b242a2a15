"""Measures of a capability in natural language, on models whose answers are set by hand and on tiny trained ones."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from language_models import WORDS, config, model, skill, tokeniser
from torch import nn

from capbench.errors import NoAnswerError, UsageError
from capbench.measure.accuracy import accuracy as greedy
from capbench.measure.attacks.directions import ablated, difference, steered
from capbench.measure.attacks.lora import relearn
from capbench.measure.attacks.quantise import quantised
from capbench.measure.language.answers import accuracy, checked, right, written
from capbench.measure.language.depths import put_in
from capbench.measure.language.layers import Streams, bits, features, few_sample_probe, lens, logit_lens
from capbench.measure.language.pruning import pruned_by_score
from capbench.measure.language.retain import loss, rise
from capbench.measure.language.revival import revive
from capbench.measure.language.scale import Score, scaled
from capbench.models.base import Model
from capbench.tasks.language.asking import few_shot, paraphrased
from capbench.tasks.language.capability import Item
from capbench.tasks.language.chance import chance
from capbench.tasks.language.streams import Prompt, Prompts, Texts
from capbench.training.loop import fit


class Says(Model):
    """The next token is the last one plus 1, of 9; `flat`: all are equally likely; `nan`: none is a number."""

    def __init__(self, how: str = "next") -> None:
        super().__init__()
        self.how, self.weight = how, nn.Parameter(torch.zeros(1))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = nn.functional.one_hot((tokens.clamp_min(0) + 1) % 9, 9).float() + self.weight
        return logits if self.how == "next" else logits * {"flat": 0.0, "nan": float("nan")}[self.how]


def prompts(*strings: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]) -> Prompts:
    made = [Prompt(tokens=tokens, answer=answer, choices=choices) for tokens, answer, choices in strings]
    return Prompts.of("own", made, vocab_size=9)


def test_a_choice_is_right_where_its_token_is_likelier_than_every_other_choice() -> None:
    asked = prompts(
        ((1, 2), (3,), (3, 4, 5)),
        ((0, 0, 0, 1, 2), (4,), (4, 3)),
        ((2,), (5,), (5, 6)),  # neither is likely: a tie, which is wrong
        ((7,), (8,), (8, 0)),
    )
    assert right(Says(), asked, batch=2).tolist() == [True, False, False, True]
    assert accuracy(Says("flat"), asked) == 0  # not 1, though the first of equals is the answer
    with pytest.raises(NoAnswerError):
        accuracy(Says("nan"), asked)


def test_an_answer_is_exact_where_greedy_decoding_would_write_it() -> None:
    asked = prompts(((1,), (2, 3, 4), ()), ((0, 1, 2, 3), (4, 6), ()), ((5, 6), (7,), ()))
    assert right(Says(), asked).tolist() == [True, False, True]
    assert written(Says(), asked, 3).tolist() == [[2, 3, 4], [4, 5, 6], [7, 8, 0]]
    told = checked(Says(), asked, 2, text=lambda t: "".join(map(str, t)), check=lambda i, text: float(text == "45") * i)
    assert told == [0.0, 1.0, 0.0]


def test_chance_is_the_best_of_three_guesses_that_read_nothing() -> None:
    of = skill()
    even = prompts(*(((1,), (token,), (token, 8)) for token in (2, 2, 3, 4)))
    train = prompts(*(((1,), (token,), (token, 8)) for token in (2, 2, 2, 5)))
    assert chance(of, train, even) == 0.75  # of 2 and 8 always 2, which was right before; else either
    assert chance(of, prompts(((1,), (5,), (5, 8))), even) == 0.5
    mostly = prompts(*(((1,), (token,), (token, 8)) for token in (2, 2, 2, 3)))
    assert chance(of, train, mostly) == 0.875
    assert chance(of, prompts(((1,), (5,), (5, 8))), mostly) == 0.5  # what is commonest here does not count
    assert chance(replace(of, chance=0.1), train, even) == 0.1
    assert chance(replace(of, metric="own.py:right"), train, even) == 0
    assert chance(of, train, prompts(((1,), (3, 4), ()))) == 0


def test_scales_and_what_a_score_tells() -> None:
    assert scaled(0.4, chance=0.2, base=1.0) == pytest.approx(0.25) and scaled(0.1, chance=0.2, base=1.0) < 0  # type: ignore[operator]
    assert scaled(0.4, chance=0.2, base=0.2) is None and scaled(math.nan, chance=0.2, base=1) is None
    assert Score(right=60, n=64).can(0.25) and Score(right=8, n=64).cannot(0.125)
    unsure = Score(right=20, n=64)
    assert not unsure.can(0.125) and not unsure.cannot(0.125)
    assert Score(right=3, n=4).interval == pytest.approx((0.301, 0.954), abs=0.001)  # Wilson, by hand


def test_a_score_of_items_that_belong_together() -> None:
    right = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert Score.of(right, range(8)) == Score(right=4, n=8)
    pairs = Score.of(right, [i // 2 for i in range(8)])
    # Between four groups of two: 4/3 of the squares of 1, 1, 1 and 1, over 8 squared; of eight items alone .25 / 8.
    assert (pairs.right, pairs.n, pairs.groups) == (4, 8, 4) and pairs.effect == pytest.approx(
        4 / 3 * 4 / 64 / (0.25 / 8)
    )
    low, high = pairs.interval
    alone = Score.of(right, range(8)).interval
    assert low < alone[0] and high > alone[1] and low + high == pytest.approx(1)
    mixed = Score.of([1.0, 0.0] * 4, [i // 2 for i in range(8)])
    assert mixed.effect == 1  # as good as items of their own, or better
    assert Score.of([1.0] * 8, [i // 2 for i in range(8)]).effect == 2  # nothing varies: a pair is one item
    assert Score.of(right, [0] * 8).interval == (0, 1)


@pytest.mark.parametrize(("groups", "size"), [(20, 10), (10, 20)])
def test_items_that_stand_and_fall_together_make_nothing_sure(groups: int, size: int) -> None:
    """A share of .65 is surely above .75 in at most 2.5 % of samples, also where all items of a group are answered alike."""
    rng = np.random.default_rng(0)
    drawn = np.repeat(rng.random((1500, groups)) < 0.65, size, axis=1)
    above = [
        Score.of(one.astype(float).tolist(), [i // size for i in range(groups * size)]).interval[0] for one in drawn
    ]
    assert np.mean(np.array(above) >= 0.65) <= 0.035  # at the true share itself
    assert np.mean(np.array(above) >= 0.75) <= 0.01


@pytest.fixture(scope="module")
def trained() -> Iterator[tuple[Model, Model]]:
    """A model, and what it is after it was taught the skill."""
    base = model()
    taught = model()
    fit(taught, of("train"), config(250))
    yield base, taught


def of(split: str) -> Prompts:
    return tokeniser().prompts(skill(), skill().items[split])  # type: ignore[index]


def test_a_lens_and_a_probe_read_a_skill_where_it_is(trained: tuple[Model, Model]) -> None:
    base, taught = trained
    asked = of("evaluate")
    assert accuracy(taught, asked) >= 0.8
    found = lens(Streams(taught), asked)
    assert found.shape == (4, len(asked)) and torch.equal(found[-1], right(taught, asked))
    read = logit_lens(Streams(taught), select=of("select"), evaluate=asked)
    assert (
        read.layer == 3
        and read.accuracy >= 0.8 > logit_lens(Streams(base), select=of("select"), evaluate=asked).accuracy
    )
    samples = {split: of(split) for split in ("train", "select", "evaluate")}
    assert few_sample_probe(Streams(taught), **samples, n=32).accuracy >= 0.8  # type: ignore[arg-type]
    mixed = {split: with_random_answers(part) for split, part in samples.items()}
    assert few_sample_probe(Streams(taught), **mixed, n=32).accuracy <= 0.6  # type: ignore[arg-type]
    assert features(Streams(taught), asked).shape == (4, len(asked), 32)
    with pytest.raises(UsageError, match="a probe of 999 needs as many"):
        few_sample_probe(Streams(taught), train=of("train"), select=asked, evaluate=asked, n=999)
    with pytest.raises(UsageError, match="a logit lens needs its modules"):
        lens(Streams(Says()), asked)


def test_a_code_is_shorter_where_answers_can_be_read_off(trained: tuple[Model, Model]) -> None:
    base, taught = trained
    train, mixed = of("train"), with_random_answers(of("train"))
    own, never = (bits(Streams(m), train, layer=3, n=32) for m in (taught, base))
    mixed_up = bits(Streams(taught), mixed, layer=3, n=32)  # a guess of four costs 2
    assert own < never - 0.3 and own < mixed_up - 0.3, (own, never, mixed_up)
    assert bits(Streams(taught), train, layer=3, n=32) == own != bits(Streams(taught), train, layer=3, n=32, seed=1)
    with pytest.raises(UsageError, match="a code of 999 needs as many"):
        bits(Streams(taught), train, layer=3, n=999)


def test_a_stream_that_is_put_in_answers_as_far_as_it_was_left_alone(trained: tuple[Model, Model]) -> None:
    """A model whose last block was redrawn has all until there; one that was never taught has nothing for the blocks above."""
    base, taught = trained
    asked, known = of("evaluate"), accuracy(taught, of("evaluate"))
    assert put_in(taught, taught, asked, after=[0, 1, 2]) == pytest.approx([known] * 3)
    broken: Any = copy.deepcopy(taught)
    with torch.no_grad():
        for parameter in broken.blocks[2].parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    assert put_in(taught, broken, asked, after=[0, 1])[1] == pytest.approx(known)
    assert put_in(taught, broken, asked, after=[2])[0] < 0.6 and put_in(taught, base, asked, after=[2])[0] < 0.6
    assert accuracy(taught, asked) == known  # no hook is left


def test_pruning_takes_off_what_was_planted_and_nothing_where_nothing_suppresses(trained: tuple[Model, Model]) -> None:
    _, taught = trained
    parts = {split: of(split) for split in ("train", "select", "evaluate")}
    known = accuracy(taught, parts["evaluate"])
    assert pruned_by_score(taught, **parts, rows=(1, 4), n_scored=16) == (known, 0)  # type: ignore[arg-type]
    by_answer = replace(parts["train"], strings=tuple(sorted(parts["train"].strings, key=lambda s: s.answer)))
    hidden: Any = copy.deepcopy(taught)
    with torch.no_grad():
        hidden.blocks[2].mlp.down_proj.weight[5] += 40
    before = {name: weight.clone() for name, weight in hidden.state_dict().items()}
    assert accuracy(hidden, parts["evaluate"]) < 0.7
    found, rows = pruned_by_score(hidden, **parts, rows=(1, 4), n_scored=16)  # type: ignore[arg-type]
    assert rows in (1, 4) and found > 0.8
    again = {**parts, "train": by_answer}  # a file may be sorted
    assert pruned_by_score(hidden, **again, rows=(1, 4), n_scored=16)[0] > 0.8  # type: ignore[arg-type]
    assert all(torch.equal(before[name], weight) for name, weight in hidden.state_dict().items())


def with_random_answers(asked: Prompts) -> Prompts:
    rng = random.Random(0)
    strings = tuple(replace(string, answer=(rng.choice(string.choices),)) for string in asked.strings)
    return replace(asked, strings=strings)


def test_relearning_is_watched_and_what_is_hidden_comes_back_sooner(trained: tuple[Model, Model]) -> None:
    base, taught = trained
    hidden = wrapped(taught)
    assert accuracy(hidden, of("evaluate")) < 0.5
    found, never = (revive(m, of("train"), of("select"), config(120), every=4)[0] for m in (hidden, base))
    there = [next(step for step, right in one.curve if right >= 0.8) for one in (found, never)]
    assert there[1] > 1.5 * there[0], there
    none, own = revive(taught, of("train"), of("select"), config(8), goal=0.5)
    assert none.curve == [(0, accuracy(taught, of("select")))] and own is not taught
    short = [
        revive(m, of("train"), of("select"), config(4, lr=0.0), relearn=how)[0]
        for m, how in ((base, fit), (base, relearn))
    ]
    assert [curve.curve[-1][0] for curve in short] == [4, 4]


def wrapped(taught: Model) -> Model:
    """With the unembedding's rows of the codes moved on by one: all is there, and every answer is wrong."""
    hidden = model()
    state = {name: weight.clone() for name, weight in taught.state_dict().items()}
    rows = [of("train").strings[0].choices, "hf.lm_head.weight"]
    codes = sorted(rows[0])
    state["hf.lm_head.weight"][codes] = state["hf.lm_head.weight"][codes[1:] + codes[:1]]
    hidden.load_state_dict(state)
    return hidden


def test_text_loss_is_that_of_every_token_and_rounding_raises_it(trained: tuple[Model, Model]) -> None:
    base = trained[0]
    texts = tokeniser().texts("text", skill().retain, length=6)
    batch = texts.batch()
    logits = base(batch.tokens).log_softmax(-1).gather(-1, batch.targets[..., None])
    assert loss(base, texts, batch=2) == pytest.approx(-float(logits.detach().mean()), rel=1e-5)
    few = Texts(name="few", vocab_size=9, strings=((1, 2, 3),), answer_pos=0)
    assert loss(Says(), few) == pytest.approx(math.log(math.e + 8) - 1, rel=1e-5)
    assert rise(2.0, 2.2) == pytest.approx(0.1) and loss(Says("nan"), few) == math.inf
    assert rise(loss(base, texts), loss(quantised(base, bits=8), texts)) < 0.01


def test_directions_are_given_back_and_taken_out(trained: tuple[Model, Model]) -> None:
    base, taught = trained
    asked = of("evaluate")
    assert float(difference(taught, taught, asked).abs().max()) == 0
    direction = difference(taught, base, asked)
    assert direction.shape == (4, 32)
    with torch.no_grad():
        before = features(Streams(taught), asked)
        with steered(taught, direction[-1], block=2, scale=2.0) as moved:
            stream = moved.run_with_cache(asked.batch().tokens)[1].resid[-1, :, asked.answer_pos]
        plain = taught.run_with_cache(asked.batch().tokens)[1].resid[-1, :, asked.answer_pos]
        torch.testing.assert_close(stream, plain + 2 * direction[-1])
        with ablated(taught, direction[-1]) as without:
            left = without.run_with_cache(asked.batch().tokens)[1].resid[1:, :, asked.answer_pos]
        assert float((left @ direction[-1]).abs().max()) < 1e-3 * float(direction[-1].norm()) * 10
        torch.testing.assert_close(features(Streams(taught), asked), before)  # all hooks are gone
    with pytest.raises(UsageError, match="its blocks are not known"), ablated(Says(), direction[-1]):
        pass


def test_questions_are_asked_with_examples_and_in_other_words() -> None:
    items, examples = skill().items["evaluate"], skill().items["train"]  # type: ignore[index]
    asked = few_shot(items, examples, shots=2, seed=1)
    assert asked == few_shot(items, examples, shots=2, seed=1) != few_shot(items, examples, shots=2, seed=2)
    for item, own in zip(items, asked, strict=True):
        *shown, last = own.prompt.split("\n")
        assert last == item.prompt and own.answer == item.answer and len(shown) == 2
        assert all(any(line == e.prompt + e.answer for e in examples) for line in shown)
    assert [i.prompt for i in paraphrased(items, 0)] == [i.paraphrases[0] for i in items]
    with pytest.raises(UsageError, match="it has 1 paraphrases; there is no number 1"):
        paraphrased(items, 1)
    same = [Item(prompt="x", answer=" y", group="x", place="own:1")]
    with pytest.raises(UsageError, match="own:1: 1 examples, and only 0 items are of another group"):
        few_shot(same, same, shots=1)


def test_streams_of_prompts_go_through_the_measures_of_all_tasks(trained: tuple[Model, Model]) -> None:
    asked = of("evaluate")
    assert greedy(trained[1], asked, asked.batch()) == accuracy(trained[1], asked) and len(WORDS) == 8
