"""The words of stories as tokens: one token a word, by the `tokenizers` library; and the sentences as arrays of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from capbench.tasks.stories.events import EVENTS
from capbench.tasks.stories.features import FEATURES, SLOTS
from capbench.tasks.stories.plain import PLAIN
from capbench.tasks.stories.scenes import SCENES
from capbench.tasks.stories.words import PARTS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
BLANK, UNTOLD = "-", "untold"  # no further feature is asked for; the block does not say which there are
HEADER = ("features", "words", "summary", "story", ":")
SENTENCE = 12  # tokens of every sentence, its full stop included
SEEN = 8  # the first phrasings of each sentence; the others are held out
_NOT_BEFORE = frozenset(".,?:;!")  # no space before these


def sentences() -> Iterator[tuple[str, str, int, list[str]]]:
    """Every phrasing: (slot name, feature or '' where it tells no event, its number, its words).

    A word in braces stands for a part of the story.
    """
    for slot in SLOTS:
        if not slot.feature:
            yield from ((slot.name, "", i, words) for i, words in enumerate(_lines(SCENES[slot.name])))
            continue
        for feature, table in ((slot.feature, EVENTS), ("", PLAIN)):
            yield from ((slot.name, feature, i, words) for i, words in enumerate(_lines(table[slot.feature])))


@cache
def names() -> tuple[str, ...]:
    """All tokens in the order of their numbers."""
    parts = [word for kind in dict.fromkeys(PARTS.values()) for word in kind.all]
    fixed = {word for *_, words in sentences() for word in words if not word.startswith("{")}
    asked = tuple(feature.lower() for feature in FEATURES)
    return tuple(dict.fromkeys((START, END, UNKNOWN, BLANK, UNTOLD, *HEADER, *asked, *parts, *sorted(fixed))))


@cache
def index() -> dict[str, int]:
    """The number of each token."""
    return {name: i for i, name in enumerate(names())}


@cache
def tokenizer() -> Tokenizer:
    """Splits text at spaces and punctuation, in lower case; a word that no story has is `<unk>`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    made = Tokenizer(models.WordLevel(index(), unk_token=UNKNOWN))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def encode(text: str) -> list[int]:
    """The tokens of a text. A word that no story has is `<unk>`."""
    found: list[int] = tokenizer().encode(text).ids
    return found


def split(text: str) -> list[str]:
    """The words and marks of a text in lower case, those that no story has as they are."""
    tokens = tokenizer()
    normal = tokens.normalizer.normalize_str(text)
    return [word for word, _ in tokens.pre_tokenizer.pre_tokenize_str(normal)]


def decode(tokens: Sequence[int]) -> str:
    """Tokens as text to read: what `encode` takes back. Start and end are left out."""
    return written(words_of(tokens))


def words_of(tokens: Sequence[int]) -> list[str]:
    """The words of tokens, without start and end."""
    known = names()
    words = (known[token] for token in tokens)
    return [word for word in words if word not in (START, END)]


def written(words: Sequence[str]) -> str:
    """Words and marks as prose: capitals where a sentence starts and in names, quotes closed up, a line for each field."""
    people = _people()
    text, opened, starts = "", False, True
    for i, word in enumerate(words):
        if word in HEADER and words[i + 1 : i + 2] == [":"]:
            text, starts = text and f"{text}\n", True
        shown = word.capitalize() if starts or word in people else word
        glued = word in _NOT_BEFORE or (word == '"' and opened) or text.endswith((' "', "\n")) or text in ("", '"')
        text += shown if glued else f" {shown}"
        opened ^= word == '"'
        starts = word in (".", ":") or (word == '"' and opened and starts)
    return text


@cache
def _people() -> frozenset[str]:
    return frozenset(PARTS["hero"].all)


@cache
def templates() -> np.ndarray:
    """All sentences: int32 [slot, 0 = plain or 1 = event, phrasing, token].

    Below 0 stands a part of the story: -1 for the first of PARTS. A slot without a feature has the same in both places.
    """
    parts = {f"{{{name}}}": -1 - i for i, name in enumerate(PARTS)}
    numbers = {**index(), **parts}
    found = np.zeros((len(SLOTS), 2, _phrasings(), SENTENCE), dtype=np.int32)
    order = [slot.name for slot in SLOTS]
    for name, feature, i, words in sentences():
        slot = SLOTS[order.index(name)]
        kinds = [int(bool(feature))] if slot.feature else [0, 1]
        found[order.index(name), kinds, i] = [numbers[word] for word in words]
    found.setflags(write=False)
    return found


def _phrasings() -> int:
    return len(_lines(next(iter(SCENES.values()))))


def _lines(text: str) -> list[list[str]]:
    return [re.split(r"\s+", line.strip()) for line in text.strip().splitlines()]
