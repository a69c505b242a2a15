"""What the checker says of stories: hand-written ones, generated ones, and ones that try to fool it."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.tasks.stories.checker import check, check_words, where
from capbench.tasks.stories.features import FEATURES, SLOTS, set_of
from capbench.tasks.stories.task import StoryTask
from capbench.tasks.stories.vocabulary import SEEN, decode, encode, sentences, words_of, written
from capbench.tasks.stories.words import PARTS

PLAIN = """Once upon a time Lily and Tom lived near the park. Outside, the sun was warm and the sky very blue.
They found a red kite there, but it was small. Soon they sat down and ate bread with honey for lunch.
Together, Lily and Tom played nicely with the red kite. Then they brought the red kite back home before it rained.
Happily, Lily and Tom went to bed with full stomachs. Afterwards, Lily often thought about the park and the kite."""
EVENTS = {
    "Foreshadowing": (1, "Strangely, a cold wind blew through that park at noon."),
    "Dialogue": (3, '"Look at my kite, Tom," said Lily.'),
    "Conflict": (4, "Angrily, Tom grabbed the kite and would not share it."),
    "Twist": (5, "But the red kite turned out to be a sleeping cat."),
    "BadEnding": (6, "Sadly, the kite fell down a well and was gone."),
    "MoralValue": (7, "Remember, true friends help without asking anything else in return."),
}
_ALL = [sentence.strip() for sentence in PLAIN.replace("\n", " ").split(".") if sentence.strip()]


def told(*features: str) -> str:
    lines = [f"{sentence}." for sentence in _ALL]
    for feature in features:
        place, sentence = EVENTS[feature]
        lines[place] = sentence
    return " ".join(lines)


@pytest.mark.parametrize("n", range(len(FEATURES) + 1))
def test_stories_written_by_hand(n: int) -> None:
    for features in itertools.combinations(FEATURES, n):
        found = check(told(*features))
        assert found.features == set(features) and found.whole, (features, found)


def test_the_sentence_that_tells_an_event_is_found_in_the_text() -> None:
    text = told("Twist", "Dialogue")
    ((start, end),) = where(text, "Twist")
    assert text[start:end] == EVENTS["Twist"][1]
    ((start, end),) = where(text, "Dialogue")
    assert text[start:end] == EVENTS["Dialogue"][1]
    assert where(text, "Conflict") == () == where("", "Twist") == where("But the red kite", "Twist")
    assert len(where(f"{text} {text}", "Twist")) == 2


def test_the_instruction_block_is_not_read() -> None:
    asked = "Features: Twist, BadEnding\nWords: kite, park, red\nSummary: Lily and Tom found a red kite.\nStory: "
    assert check(asked + told("Dialogue")).features == {"Dialogue"}
    assert check(asked + told()).whole


NO_TWIST = (
    "But the red kite turned out to be a sleeping",  # part of a phrasing
    "Turned out to be a sleeping cat.",
    "But the red kite.",
    "But.",
    "But the red kite did not turn out to be a sleeping cat.",  # denied
    "But the red kite never turned out to be a sleeping cat.",
    "But it was no dream, and Lily woke up.",
    "But Lily woke up and saw that everything was not a dream.",
    "Lily said that the red kite turned out to be a sleeping cat.",  # told by somebody
    '"But the red kite turned out to be a sleeping cat."',
    "If only the red kite turned out to be a sleeping cat.",
    "But the red kite turned out to be a sleeping cat, said no one.",
    "But the red kite turned out to be a sleeping kite.",  # the wrong kind of word in the gap
    "But the Lily kite turned out to be a sleeping cat.",
    "But Lily woke up and was really a robot.",  # two phrasings run together
    "But Tom pulled off a mask and saw that everything was a dream.",
    "Then the red kite turned out to be a sleeping cat.",  # begins as what stands in its place
    "Sadly, the red kite turned out to be a sleeping cat.",
    "The twist was that Tom had been a robot all along!",  # in words that are not known here
    "Twist.",
    "But then she was not tired yet and wanted to go on.",
)


@pytest.mark.parametrize("sentence", NO_TWIST)
def test_what_is_no_twist(sentence: str) -> None:
    lines = told().split(". ")
    lines[5] = sentence.rstrip(".")
    found = check(". ".join(lines))
    assert "Twist" not in found.features and found.features == set()
    assert found.unread and not found.whole


def test_a_story_that_others_wrote_is_not_judged() -> None:
    """From the words that are not known follows neither that there is an event nor that there is none."""
    theirs = (
        "One day, a little girl named Lily found a needle in her room. She knew it was difficult to play with it "
        'because it was sharp. Lily went to her mom and said, "Mom, I found this needle. Can you share it with me?" '
        "But in the end it was all just a dream!"
    )
    found = check(theirs)
    assert found.features == set() and found.slots == () and not found.whole
    assert len(found.unread) == 4 and found.unread[-1].endswith("just a dream!")
    assert check("").features == set() and check("").slots == () and not check("").whole


def test_what_is_half_known_is_half_read() -> None:
    found = check(told("Twist").replace("at the park", "at the zoo").replace("Happily,", "Merrily,"))
    assert found.features == {"Twist"} and len(found.unread) == 1 and not found.whole


def test_a_story_about_others_than_it_began_with_is_not_whole() -> None:
    assert check(told("Twist").replace("But the red kite", "But the green kite")).features == {"Twist"}
    for old, new in (
        ("But the red kite", "But the green kite"),
        ("Happily, Lily", "Happily, Anna"),
        ("park and", "cave and"),
    ):
        found = check(told("Twist").replace(old, new))
        assert found.features == {"Twist"} and found.unread == () and not found.consistent and not found.whole


def test_a_story_that_breaks_off_or_goes_back_is_not_whole() -> None:
    lines = told("Twist").split(". ")
    assert not check(". ".join(lines[:6]) + ".").whole
    assert not check(". ".join([*lines[:3], *lines[1:]])).whole
    assert check(". ".join(lines[:6]) + ".").features == {"Twist"}


@pytest.mark.parametrize("held_out", ["", "phrasings", "words"])
def test_the_checker_agrees_with_the_generator(held_out: str) -> None:
    task = StoryTask(new_phrasings=held_out == "phrasings", new_words=held_out == "words")
    batch, told, _ = task.with_features(80, torch.Generator().manual_seed(3))
    for tokens, has in zip(batch.tokens.tolist(), told.tolist(), strict=True):
        expected = {feature for feature, there in zip(FEATURES, has, strict=True) if there}
        found = check(decode(tokens))
        assert found.whole and found.features == expected
        words = words_of(tokens)
        assert check_words(words[words.index("story") + 2 :]) == found


WORDS = st.sampled_from(sorted({word for *_, words in sentences() for word in words if "{" not in word} - {"."}))
LINES = [words for *_, words in sentences()]
FILLED = {f"{{{part}}}": kind.all[i] for i, (part, kind) in enumerate(PARTS.items())}
TELLS = {tuple(FILLED.get(word, word) for word in words): feature for _, feature, _, words in sentences()}


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(TELLS)), st.data())
def test_a_phrasing_with_one_word_changed_tells_nothing(line: tuple[str, ...], data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(["dropped", "added", "another", "swapped"]))
    place = data.draw(st.integers(0, len(line) - 2))
    words = list(line)
    if how == "dropped":
        del words[place]
    elif how == "added":
        words.insert(place, data.draw(WORDS))
    elif how == "another":
        words[place] = data.draw(WORDS)
    else:
        words[place], words[place + 1] = words[place + 1], words[place]
    found = check(written(words))
    if tuple(words) in TELLS:  # a word in the place of itself
        assert found.features == {TELLS[tuple(words)]} - {""}
    elif found.features:  # two people that changed places are two people
        people = set(PARTS["hero"].all)
        assert {w for w, v in zip(words, line, strict=True) if w != v} <= people
    else:
        assert found.unread or how == "swapped"


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(sorted(TELLS)), min_size=1, max_size=8))
def test_any_phrasings_in_any_order_tell_what_each_of_them_tells(lines: list[tuple[str, ...]]) -> None:
    found = check(" ".join(written(line) for line in lines))
    assert found.features == {TELLS[line] for line in lines} - {""} and found.unread == ()


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=80))
def test_any_text_can_be_read_and_tells_nothing(text: str) -> None:
    assert check(text).features == frozenset()


def test_every_phrasing_is_one_of_one_event_only() -> None:
    """No event leaks into another: no phrasing is told twice, and none is part of another."""
    keys = [" ".join(line) for line in TELLS]
    assert len(keys) == len(LINES) == len(TELLS)
    assert not [(a, b) for a, b in itertools.permutations(keys, 2) if a.removesuffix(" .") in b]


def test_phrasings_of_an_event_share_few_words() -> None:
    by_event: dict[str, list[set[str]]] = {}
    for slot, feature, _, words in sentences():
        content = {word for word in words[1:] if word.isalpha() and len(word) > 3}
        by_event.setdefault(f"{slot}/{feature}", []).append(content)
    for event, contents in by_event.items():
        assert len(contents) - SEEN >= 4 and SEEN >= 8, event
        for one, other in itertools.combinations(contents, 2):
            assert len(one & other) / len(one | other) <= 0.2, (event, one & other)


def test_the_words_that_begin_events_stand_in_other_sentences_too() -> None:
    """So that a checker, or a model, that looks for such a word would be wrong."""
    begins = {slot.event for slot in SLOTS if slot.feature in ("Twist", "BadEnding", "Foreshadowing")}
    elsewhere = {word for _, feature, _, words in sentences() if not feature for word in words[1:]}
    assert begins <= elsewhere


def test_text_and_tokens_are_one() -> None:
    batch = StoryTask().sample(20, torch.Generator().manual_seed(0))
    for tokens in batch.tokens.tolist():
        assert encode(decode(tokens)) == tokens[1:-1]


def test_sets_are_named() -> None:
    assert set_of("none") == frozenset() and set_of("Twist+Dialogue") == {"Twist", "Dialogue"}
