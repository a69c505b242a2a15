"""Items as tokens: choices are told apart at the first token that differs, and answers begin at one position in every string."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from word_tokenizer import WordTokenizer

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.language.capability import Capability, Item
from capbench.tasks.language.streams import Prompt, Prompts, aligned, by_length
from capbench.tasks.language.tokenising import Tokeniser
from capbench.tasks.mixture import Mixture
from capbench.tasks.padding import PAD


def item(prompt: str, answer: str, *others: str) -> Item:
    return Item(prompt=prompt, answer=answer, choices=(answer, *others) if others else (), group=prompt, place="own:1")


def capability(*items: Item, metric: str = "choice", drawn: int = 0) -> Capability:
    return Capability(
        name="own", kind="skill", metric=metric, drawn=drawn, items={"train": items, "select": (), "evaluate": ()}
    )


def tokenised(
    tokenizer: WordTokenizer, *items: Item, seq_len: int = 20, metric: str = "choice", drawn: int = 0
) -> Prompts:
    own = Tokeniser(tokenizer, vocab_size=100, seq_len=seq_len)
    return own.prompts(capability(*items, metric=metric, drawn=drawn), items)


def test_a_choice_is_the_first_token_that_differs() -> None:
    words = WordTokenizer(bos=True)
    found = tokenised(words, item("It is", " very red", " very blue"), item("So it is", " very blue", " very red"))
    (first, second) = found.strings
    assert words.decode(list(first.tokens)) == "<bos>It is very"  # what choices share is read before them
    assert [words.decode([token]) for token in first.choices] == [" red", " blue"] and first.answer == first.choices[:1]
    assert second.choices == first.choices[::-1]


def test_strings_are_padded_so_that_answers_begin_at_one_position() -> None:
    words = WordTokenizer()
    found = tokenised(words, item("a b c", " d"), item("a", " d e"), metric="exact")
    a, b, c, d, e = (words.words.index(word) for word in ("a", " b", " c", " d", " e"))
    batch = found.batch()
    assert (found.seq_len, found.answer_pos) == (4, 2)
    assert batch.tokens.tolist() == [[a, b, c, PAD], [PAD, PAD, a, d]]
    assert batch.targets.tolist() == [[IGNORE, IGNORE, d, IGNORE], [IGNORE, IGNORE, d, e]]
    assert found.batch([1]).tokens.tolist() == [[PAD, PAD, a, d]]


def test_streams_are_tasks_that_mix_when_aligned() -> None:
    words = WordTokenizer()
    own = Tokeniser(words, vocab_size=100, seq_len=20)
    one, other = (tokenised(words, item(*texts), metric="exact") for texts in (("a b c", " d"), ("a", " d e")))
    with pytest.raises(UsageError, match="cannot be mixed"):
        Mixture(parts=(one, other))
    one, other = aligned(one, other)
    text = own.texts("text", ["a b c d e f g h i j k l"], length=one.seq_len, answer_pos=one.answer_pos)
    task = FineTuningTask(target=one, retain=text, forget=other, others=other)
    assert isinstance(one, Task) and isinstance(text, Task)
    batch = Mixture(parts=(task.target, task.retain, task.forget)).sample(50, torch.Generator().manual_seed(0))
    assert batch.tokens.shape == batch.targets.shape == (50, 4)
    assert bool((batch.targets[:, one.answer_pos] != IGNORE).all())


def test_a_stream_is_drawn_in_whole_rounds_and_from_its_generator_alone() -> None:
    found = tokenised(WordTokenizer(), *(item(f"{letter} x", " d", " e") for letter in "abcdefg"))
    drawn = found.sample(17, torch.Generator().manual_seed(3)).tokens[:, 0].tolist()
    assert len(set(drawn[:7])) == len(set(drawn[7:14])) == 7 and len(drawn) == 17
    assert drawn == found.sample(17, torch.Generator().manual_seed(3)).tokens[:, 0].tolist()
    assert drawn != found.sample(17, torch.Generator().manual_seed(4)).tokens[:, 0].tolist()


def test_texts_are_cut_into_strings_whose_every_token_is_a_target() -> None:
    words = WordTokenizer(bos=True)
    own = Tokeniser(words, vocab_size=100, seq_len=20)
    found = own.texts("text", ["a b c d e f g", "too short"], length=3)
    batch = found.batch()
    assert [words.decode(row) for row in batch.tokens.tolist()] == ["<bos>a b", "<bos> d e"]
    assert [words.decode(row) for row in batch.targets.tolist()] == ["a b c", " d e f"]
    for length, why in ((30, "must be from 1 to the model's 20"), (1, "leave no room"), (9, "none of its texts has 9")):
        with pytest.raises(UsageError, match=why):
            own.texts("text", ["a b c d e f g"], length=length)


def test_choices_are_drawn_for_each_item_and_differ_in_their_first_token() -> None:
    cities = ("Paris", "Parma", "Rome", "Lima", "Oslo")
    items = [item(f"{city} is the capital of itself:", f" {city}") for city in cities]
    words = WordTokenizer(pieces=3)  # ' Paris' and ' Parma' begin with one token, ' Pa'
    found = tokenised(words, *items, seq_len=40, drawn=3)
    assert found == tokenised(words, *items, seq_len=40, drawn=3)
    for string in found.strings:
        assert len(set(string.choices)) == 3 and string.choices[0] == string.answer[0]
    drawn = {frozenset(string.choices) for string in found.strings}
    assert len(drawn) > 1
    with pytest.raises(UsageError, match=r"own:1: choices = 5, and only 4 answers differ in their first token"):
        tokenised(words, *items, seq_len=40, drawn=5)
    with pytest.raises(UsageError, match="there are only 5 different answers"):
        tokenised(words, *items, seq_len=40, drawn=6)


def test_choices_are_drawn_where_every_text_alone_begins_with_the_same_token() -> None:
    cities = ("Paris", "Rome", "Lima", "Oslo")
    items = [item(f"{city} is the capital of itself:", f" {city}") for city in cities]
    plain, marked = (tokenised(WordTokenizer(marks_space=m), *items, seq_len=40, drawn=3) for m in (False, True))
    assert [len(set(string.choices)) for string in marked.strings] == [3] * 4
    assert len(plain.strings) == len(marked.strings)


@pytest.mark.parametrize(
    ("tokenizer", "bad", "why"),
    [
        (
            WordTokenizer(pieces=3),
            item("x", " Paris", " Parma", " Rome"),
            "own:1: the answer ' Paris' is not a single choice: ' Paris' and ' Parma' both go on with the token ' Pa'",
        ),
        (
            WordTokenizer(),
            item("x", " New", " New York"),
            "the answer ' New' is the beginning of ' New York'; end the template",
        ),
        (
            WordTokenizer(),
            item("Q: x A: ", "Paris", "Rome"),
            "own:1: the tokenizer merges the end of the prompt 'Q: x A: ' with the answer 'Paris' (one token for ' Paris'): "
            "begin the answer with the space",
        ),
        (WordTokenizer(), item("x", "y", "z"), "put a space or a line break between them"),
        (WordTokenizer(merged=(": a",)), item("x:", " a", " b"), "(one token for ': a')"),
        (WordTokenizer(merged=(": b",)), item("x:", " a", " b"), "with the answer ' b' (one token for ': b')"),
        (WordTokenizer(), item("x", " a"), "own:1: it has no choices, and the metric is choice; list them"),
        (WordTokenizer(), item("a " * 30, " a", " b"), "takes 31 tokens with its answer; the model reads at most 20"),
    ],
)
def test_what_a_tokenizer_makes_of_an_item_may_not_do(tokenizer: WordTokenizer, bad: Item, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        tokenised(tokenizer, bad)
    assert why in str(caught.value) and "\n" not in str(caught.value)


def test_a_checkers_tokens_need_room_too() -> None:
    question = item("a b c d", " e")
    own = Tokeniser(WordTokenizer(), vocab_size=100, seq_len=10)
    of = replace(capability(question, metric="own.py:right"), tokens=8)
    with pytest.raises(UsageError, match="takes 11 tokens with its answer; the model reads at most 10"):
        own.prompts(of, [question])
    assert own.prompts(replace(of, tokens=7), [question]).seq_len == 4


def test_parts_of_similar_length_hold_every_prompt_once() -> None:
    lengths = (3, 1, 5, 2, 4)
    strings = [Prompt(tokens=(1,) * n, answer=(2,)) for n in lengths]
    parts = by_length(Prompts.of("own", strings, vocab_size=9), 2)
    assert [[lengths[i] for i in part] for part in parts] == [[1, 2], [3, 4], [5]]
