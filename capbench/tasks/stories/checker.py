"""Which features does a story have? Read from the text alone, exactly: no model judges.

A sentence tells an event if it is one of the phrasings of that event from its first word to its full stop, with any of the
words that stories are about in its gaps. So part of a phrasing is no event, nor a phrasing with a `not` in it, nor the word
that begins one. A sentence that no story has is not judged: it is `unread`. Text that others wrote may tell events in words
that are not known here, so of a story with such sentences nothing follows from an event that was not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from capbench.tasks.stories.features import SLOTS
from capbench.tasks.stories.vocabulary import sentences, split, written
from capbench.tasks.stories.words import PARTS

_MARK = "story"  # what stands before it is the instruction block
_KINDS = {word: f"<{i}>" for i, kind in enumerate(dict.fromkeys(PARTS.values())) for word in kind.all}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a story has. unread: its sentences that are none of a story's, as prose, an unfinished one at the end among them.

    slots: the place in a story of each sentence that was read, in the text's order. consistent: whether no more than two
    people, one object, one place, one look and one pet are named.
    """

    features: frozenset[str]
    unread: tuple[str, ...] = ()
    slots: tuple[int, ...] = ()
    consistent: bool = True

    @property
    def whole(self) -> bool:
        """Whether it is a story from beginning to end: each sentence in its place, and about the same people and things."""
        return not self.unread and self.slots == tuple(range(len(SLOTS))) and self.consistent


def check(text: str) -> Found:
    """What a story has, given as text. If it has an instruction block, that ends with `Story:` and is not read."""
    words = split(text)
    starts = [i + 2 for i in range(len(words) - 1) if words[i : i + 2] == [_MARK, ":"]]
    return check_words(words[starts[0] if starts else 0 :])


def where(text: str, feature: str) -> tuple[tuple[int, int], ...]:
    """The sentences of a story, given as prose, that tell a feature's event: (start, end) of each, in characters."""
    found, start = [], 0
    for end in [i + 1 for i, character in enumerate(text) if character == "."]:
        sentence = text[start:end]
        if feature in check(sentence).features:
            found.append((start + len(sentence) - len(sentence.lstrip()), end))
        start = end
    return tuple(found)


def check_words(words: Sequence[str]) -> Found:
    """The same for the words and marks of a story, in lower case."""
    features, unread, slots = set(), [], []
    named: dict[str, set[str]] = {}
    for sentence in _sentences(words):
        known = _known().get(tuple(_KINDS.get(word, word) for word in sentence))
        if known is None:
            unread.append(written(sentence))
            continue
        slot, feature = known
        slots.append(slot)
        features |= {feature} - {""}
        for word in sentence:
            if word in _KINDS:
                named.setdefault(_KINDS[word], set()).add(word)
    people = _KINDS[PARTS["hero"].seen[0]]
    consistent = all(len(words) <= (2 if kind == people else 1) for kind, words in named.items())
    return Found(features=frozenset(features), unread=tuple(unread), slots=tuple(slots), consistent=consistent)


def _sentences(words: Sequence[str]) -> list[list[str]]:
    """Sentences with their full stops; what follows the last full stop is one too."""
    found: list[list[str]] = [[]]
    for word in words:
        found[-1].append(word)
        if word == ".":
            found.append([])
    return [sentence for sentence in found if sentence]


@cache
def _known() -> dict[tuple[str, ...], tuple[int, str]]:
    """Every phrasing, its gaps by the kind of word that fills them -> its slot, and the feature that it tells or ''."""
    gaps = {f"{{{part}}}": _KINDS[kind.seen[0]] for part, kind in PARTS.items()}
    order = [slot.name for slot in SLOTS]
    return {
        tuple(gaps.get(word, word) for word in words): (order.index(name), feature)
        for name, feature, _, words in sentences()
    }
