"""Questions over stories, with answers that are exact by construction: material for models that read real text.

A question is asked only of a passage that says the answer, in a word that no other part of the story could be taken for. So it is
about reading, and a model that never saw such a story can answer it. Those of the kind `happened` can often be guessed from their
choices (who can have drowned?), so ask them without the passage too; those of other kinds cannot, as their answers are drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.splits import Split, check_split
from capbench.tasks.stories import drawing, vocabulary
from capbench.tasks.stories.features import FEATURES, slot_of
from capbench.tasks.stories.happenings import ANIMALS, HAPPENINGS
from capbench.tasks.stories.words import PARTS

CHOICES = 4
# Kind of question -> the part of the story that is the answer, and the question.
_ASKED = {
    "who": ("friend", "Who found the {object} together with {hero}?"),
    "what": ("object", "What did {hero} and {friend} find?"),
    "which": ("look", "What was the {object} like?"),
    "where": ("place", "Which place is named in the story?"),
    "animal": ("pet", "Which animal is named in the story?"),
}
KINDS = (*_ASKED, "happened")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. choices: the answer and three others of its kind that the passage does not say, in random order."""

    kind: str
    passage: str
    question: str
    answer: str
    choices: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """What a model goes on with, by a space and the answer."""
        return f"{self.passage}\n\nQuestion: {self.question}\nAnswer:"

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values, with the prompt."""
        return {"prompt": self.prompt, **asdict(self), "choices": list(self.choices)}


def questions(
    n: int, *, seed: int, split: Split = "train", kinds: Sequence[str] = KINDS, held_out: bool = False
) -> list[Question]:
    """n questions, the kinds in equal shares as far as n allows, each about a story of its own.

    split: of the stories; no story is in two. held_out: about names, objects and sentences that `held_out=False` never uses.
    Equal arguments give equal questions. Raises UsageError for an unknown kind or split.
    """
    check_split(split)
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"unknown kind of question {kind!r}; known: {', '.join(KINDS)}")
    if n < 0 or not kinds:
        raise UsageError(f"{n} questions of {len(kinds)} kinds: at least 0 questions and 1 kind are needed")
    rng = np.random.default_rng(seed)
    wanted = [kinds[i % len(kinds)] for i in range(n)]
    found: list[Question] = []
    stories = _stories(rng, split, held_out)
    while len(found) < n:
        made = _ask(next(stories), wanted[len(found)], rng)
        if made is not None:
            found.append(made)
    return found


def as_jsonl(of: Sequence[Question]) -> str:
    """One JSON object a line, as `Question.to_json` gives it."""
    return "".join(json.dumps(question.to_json(), ensure_ascii=False) + "\n" for question in of)


@dataclass(frozen=True)
class _Story:
    words: list[str]
    parts: dict[str, str]
    told: dict[str, int]  # the features that it has, and which phrasing tells each
    held_out: bool


def _stories(rng: np.random.Generator, split: Split, held_out: bool) -> Iterator[_Story]:
    """Stories without end, each feature in half of them."""
    while True:
        content = drawing.contents(64, split, rng, new_phrasings=held_out, new_words=held_out)
        told = rng.random((64, len(FEATURES))) < 0.5
        tokens = drawing.write(told, told, np.zeros(64, dtype=bool), content, rng)
        for row, has, phrasing, parts in zip(
            tokens.tolist(), told.tolist(), content.phrasing.tolist(), content.parts.tolist(), strict=True
        ):
            named = {name: PARTS[name].all[i] for name, i in zip(PARTS, parts, strict=True)}
            events = {f: phrasing[slot_of(f)] for f, there in zip(FEATURES, has, strict=True) if there}
            yield _Story(vocabulary.words_of(row[drawing.PROMPT :]), named, events, held_out)


def _ask(story: _Story, kind: str, rng: np.random.Generator) -> Question | None:
    """A question of a kind about a story; None if it does not say the answer, or not without doubt."""
    found = _happened(story, rng) if kind == "happened" else _about(story, kind)
    if found is None:
        return None
    question, answer, others = found
    summary = "{hero} and {friend} found a {look} {object} .".format(**story.parts).split()
    words = [*summary, *story.words]
    free = sorted(set(others) - {*words, *question.lower().rstrip("?").split()})
    if answer not in words or len(free) < CHOICES - 1:
        return None
    drawn = [free[i] for i in rng.permutation(len(free))[: CHOICES - 1]]
    choices = [answer, *drawn]
    people = set(PARTS["hero"].all)

    def shown(word: str) -> str:
        return word.capitalize() if word in people else word

    return Question(
        kind=kind,
        passage=vocabulary.written(words),
        question=" ".join(w[:1].upper() + w[1:] if w.rstrip("?") in people else w for w in question.split()),
        answer=shown(answer),
        choices=tuple(shown(choices[i]) for i in rng.permutation(CHOICES)),
    )


def _about(story: _Story, kind: str) -> tuple[str, str, Sequence[str]] | None:
    part, question = _ASKED[kind]
    if kind == "animal" and ANIMALS & set(story.words):
        return None
    words = PARTS[part].held_out if story.held_out and PARTS[part].held_out else PARTS[part].seen
    return question.format(**story.parts), story.parts[part], words


def _happened(story: _Story, rng: np.random.Generator) -> tuple[str, str, Sequence[str]] | None:
    """Of the events that it tells, one that can be asked about."""
    askable = [feature for feature in story.told if feature in HAPPENINGS]
    if not askable:
        return None
    feature = askable[rng.integers(len(askable))]
    table = HAPPENINGS[feature]
    question, answer = table[story.told[feature]]
    others = [other.format(**story.parts) for _, other in table]
    return question.format(**story.parts), answer.format(**story.parts), others
