"""One record of the format: an instruction block, and the story that it asks for. Standard library only.

A record ends with `<|endoftext|>`. Before `Story:` come the fields of the block, in any order, each from its name on to the next
one; all that follows `Story:` is the story, whatever stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from capbench.tasks.stories.features import FEATURES

END = "<|endoftext|>"
FIELDS = ("Words", "Summary", "Random sentence")  # of the block, besides the features
_START = re.compile(rf"\s*({'|'.join(map(re.escape, ('Features', *FIELDS, 'Story')))}):(.*)", re.DOTALL)
_MOST = 100_000  # characters of a record; a story of the corpus has about a thousand
_ENDLESS = "\n"  # stands in for the lines of one that has more; no line is this
_KNOWN = {feature.lower(): feature for feature in FEATURES}


@dataclass(frozen=True, kw_only=True)
class Record:
    """features: those that the block names; None where it does not say. fields: the others of the block, in its order.

    wrong: why it is no record; '' for one that is. line: where it begins.
    """

    features: frozenset[str] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    story: str = ""
    line: int = 0
    wrong: str = ""

    @property
    def block(self) -> str:
        """The fields besides the features, as text, a line for each."""
        return "".join(f"{name}: {value}\n" for name, value in self.fields)

    @property
    def text(self) -> str:
        """The record in the format; what `records` reads back."""
        features = (
            "" if self.features is None else f"Features: {', '.join(f for f in FEATURES if f in self.features)}\n"
        )
        return f"{features}{self.block}Story: \n\n{self.story}\n{END}\n"


def records(lines: Iterable[tuple[int, str]]) -> Iterator[Record]:
    """All records of a text, given as numbered lines; those that are wrong, too. Blank ones are none."""
    held: list[str] = []
    began = size = 0
    for number, line in lines:
        *ended, rest = line.split(END)
        for piece in ended:
            held.append(piece)
            if (found := _record(held, began or number)) is not None:
                yield found
            held, began, size = [], 0, 0
        if rest.strip() or held:  # blank lines before a record are no part of it
            began = began or number
            size += len(rest)
            if size <= _MOST:
                held.append(rest)
            else:  # a text without ends is not held in memory
                held = [_ENDLESS]
    if (found := _record(held, began)) is not None:
        yield found


def _record(lines: list[str], line: int) -> Record | None:
    if lines[:1] == [_ENDLESS]:
        return Record(line=line, wrong=f"it is longer than {_MOST:,} characters; is there no {END} at its end?")
    if not any(each.strip() for each in lines):
        return None
    parts: list[tuple[str, list[str]]] = []
    for i, text in enumerate(lines):
        if (start := _START.fullmatch(text)) is not None:
            parts.append((start[1], [start[2]]))
            if start[1] == "Story":
                parts[-1][1].extend(lines[i + 1 :])
                break
        elif parts:
            parts[-1][1].append(text)
        elif text.strip():
            return Record(line=line, wrong=f"{text.strip()[:40]!r} begins no field")
    found = [(name, "\n".join(value).strip()) for name, value in parts]
    if not found or found[-1][0] != "Story":
        return Record(line=line, wrong="it has no 'Story:'")
    if not found[-1][1]:
        return Record(line=line, wrong="its story is empty")
    named = [value for name, value in found if name == "Features"]
    try:
        features = frozenset().union(*map(_features, named)) if named else None
    except LookupError as error:
        return Record(line=line, wrong=f"unknown feature {str(error.args[0])!r}; known: {', '.join(FEATURES)}")
    fields = tuple((name, " ".join(value.split())) for name, value in found[:-1] if name != "Features")
    return Record(features=features, fields=fields, story=found[-1][1], line=line)


def _features(value: str) -> frozenset[str]:
    """`Dialogue, Bad Ending` -> the features that it names. Raises LookupError for an unknown one."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    found = set()
    for name in names:
        known = _KNOWN.get(re.sub(r"[\s_-]", "", name).lower())
        if known is None:
            raise LookupError(name)
        found.add(known)
    return frozenset(found)
