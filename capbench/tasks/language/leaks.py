"""What a held-out item may be known from: another split, or the text that is to be kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from capbench.tasks.language.capability import Capability, Item

GRAM = 8  # words in a row that two inputs hardly share by chance


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Counts of items to evaluate. same: their prompt is, but for case, spaces and punctuation, one of another split.

    shared: their input shares eight words in a row with one to train on, those apart that the templates give to all. told: one
    of the texts to retain has the answer and all that the prompt is about.
    """

    same: int
    shared: int
    told: int

    def __bool__(self) -> bool:
        return bool(self.same or self.shared or self.told)


def leaks(of: Capability) -> Leaks:
    """Of the items to evaluate, against those of the other splits and the texts to retain."""
    elsewhere = [*of.items["train"], *of.items["select"]]
    plain = {_plain(item.prompt) for item in elsewhere}
    grams = {gram for item in elsewhere for gram in _grams(item)}
    texts = [f" {_plain(text)} " for text in of.retain]
    evaluate = of.items["evaluate"]
    return Leaks(
        same=sum(_plain(item.prompt) in plain for item in evaluate),
        shared=sum(any(gram in grams for gram in _grams(item)) for item in evaluate),
        told=sum(any(_tells(text, item) for text in texts) for item in evaluate),
    )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _grams(item: Item) -> Iterable[tuple[str, ...]]:
    """Of the field values, so that a template's own words do not count; of the prompt where there are none."""
    for value in _inputs(item).values() or (item.prompt,):
        words = _plain(value).split()
        yield from (tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def _inputs(item: Item) -> Mapping[str, str]:
    """The fields that are in the prompt."""
    return {name: value for name, value in item.fields.items() if value in item.prompt}


def _tells(text: str, item: Item) -> bool:
    about = [f" {_plain(value)} " for value in (*_inputs(item).values(), item.answer)]
    return len(about) > 1 and all(part.strip() and part in text for part in about)
