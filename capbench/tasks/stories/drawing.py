"""Drawing stories: which features, which phrasings, which people and things; and writing them as tokens. Vectorised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from capbench.tasks.splits import Split, in_split, share
from capbench.tasks.stories import vocabulary
from capbench.tasks.stories.features import FEATURES, SLOTS
from capbench.tasks.stories.vocabulary import BLANK, END, SEEN, SENTENCE, START, UNTOLD
from capbench.tasks.stories.words import PARTS

_SPLIT_PARTS = 4  # half of all stories train, a quarter selects, a quarter evaluates
PROMPT = 26  # tokens up to the first of the story: start, features, words, summary, `story :`
STORY = len(SLOTS) * SENTENCE
SEQ_LEN = PROMPT + STORY + 1  # and the end


@dataclass(frozen=True)
class Content:
    """What stories tell, but for their features: both versions of a story are of one split.

    phrasing: int [n, slot]; parts: int [n, part], an index into the words of each of PARTS.
    """

    phrasing: np.ndarray
    parts: np.ndarray


def contents(n: int, split: Split, rng: np.random.Generator, *, new_phrasings: bool, new_words: bool) -> Content:
    """n contents of one split. new_phrasings, new_words: those that are held out of all training, and no others."""
    found: list[np.ndarray] = []
    missing = n
    while missing > 0:
        tries = int(missing / share(split, _SPLIT_PARTS) * 1.1) + 8
        drawn = _drawn(tries, rng, new_phrasings, new_words)
        kept = drawn[in_split(drawn, split, _SPLIT_PARTS)][:missing]
        found.append(kept)
        missing -= len(kept)
    whole = np.concatenate(found)
    return Content(whole[:, : len(SLOTS)], whole[:, len(SLOTS) :])


def _drawn(n: int, rng: np.random.Generator, new_phrasings: bool, new_words: bool) -> np.ndarray:
    phrasings = vocabulary.templates().shape[2]
    low, high = (SEEN, phrasings) if new_phrasings else (0, SEEN)
    columns = [rng.integers(low, high, (n, len(SLOTS)))]
    ends = {name: (len(kind.seen), len(kind.all)) for name, kind in PARTS.items()}
    for name, (seen, every) in ends.items():
        low, high = (seen, every) if new_words and every > seen else (0, seen)
        drawn = rng.integers(low, high, n)
        if name == "friend":  # another one than the hero, who comes first in PARTS
            drawn = low + (columns[1][:, 0] - low + rng.integers(1, high - low, n)) % (high - low)
        columns.append(drawn[:, None])
    return np.concatenate(columns, axis=1)


def write(
    told: np.ndarray, asked: np.ndarray, withheld: np.ndarray, content: Content, rng: np.random.Generator
) -> np.ndarray:
    """Tokens of prompts and stories: int64 [n, SEQ_LEN].

    told, asked: bool [n, feature], what the story has and what its prompt names. withheld: bool [n], whose prompts do not say.
    """
    words = np.stack([_words(name)[content.parts[:, i]] for i, name in enumerate(PARTS)], axis=1)
    start, end = np.full((len(told), 1), _index(START)), np.full((len(told), 1), _index(END))
    prompt = _prompts(asked, withheld, words, rng)
    return np.concatenate([start, prompt, _stories(told, words, content.phrasing), end], axis=1).astype(np.int64)


def _prompts(asked: np.ndarray, withheld: np.ndarray, words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`features : … words : … summary : … story :`, int [n, PROMPT - 1]. Features and words are named in random order."""
    n = len(asked)
    order = np.argsort(rng.random(asked.shape) + ~asked, axis=1)
    listed = np.where(np.take_along_axis(asked, order, 1), _features()[order], _index(BLANK))
    listed[withheld] = [_index(UNTOLD), *[_index(BLANK)] * (len(FEATURES) - 1)]
    hero, friend, thing, place, look = (words[:, list(PARTS).index(name)] for name in _TOLD)
    used = rng.permuted(np.stack([look, thing, place], axis=1), axis=1)

    def fixed(*tokens: str) -> list[np.ndarray]:
        return [np.full(n, _index(token)) for token in tokens]

    columns = [*fixed("features", ":"), *listed.T, *fixed("words", ":"), *used.T, *fixed("summary", ":"), hero]
    columns += [*fixed("and"), friend, *fixed("found", "a"), look, thing, *fixed(".", "story", ":")]
    return np.stack(columns, axis=1)


_TOLD = ("hero", "friend", "object", "place", "look")


def _stories(told: np.ndarray, words: np.ndarray, phrasing: np.ndarray) -> np.ndarray:
    """The sentences, int [n, STORY]."""
    slots = np.arange(len(SLOTS))
    event = np.zeros((len(told), len(SLOTS)), dtype=np.intp)
    for i, slot in enumerate(SLOTS):
        if slot.feature:
            event[:, i] = told[:, FEATURES.index(slot.feature)]
    body = vocabulary.templates()[slots, event, phrasing].reshape(len(told), STORY)
    filled = np.take_along_axis(words, np.maximum(-1 - body, 0), axis=1)
    return np.where(body < 0, filled, body)


@cache
def _words(part: str) -> np.ndarray:
    return np.array([_index(word) for word in PARTS[part].all])


@cache
def _features() -> np.ndarray:
    return np.array([_index(feature.lower()) for feature in FEATURES])


def _index(word: str) -> int:
    return vocabulary.index()[word]
