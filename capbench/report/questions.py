"""The questions that a reader has, and which claim answers which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from capbench.report.words import in_order
from capbench.results import Record, Status


@dataclass(frozen=True, kw_only=True)
class Question:
    """words: parts of a claim's id that make it a claim on this question. folded: shown closed unless one of its claims fails."""

    anchor: str
    title: str
    words: frozenset[str]
    folded: bool = False


QUESTIONS = (
    Question(
        anchor="shortcut",
        title="Is it a shortcut?",
        words=frozenset({"shortcut", "learning", "slow", "amplification", "relevance", "gradient"}),
    ),
    Question(
        anchor="there",
        title="Is the old capability still there?",
        words=frozenset(
            {
                *("verdict", "wrapper", "pruning", "probing", "patching", "localization", "circuit", "attention"),
                *("retention", "mixing", "max", "readout", "sort", "inhibitor"),
            }
        ),
    ),
    Question(
        anchor="back",
        title="How fast does it come back?",
        words=frozenset({"revival", "reft", "attack", "attacks", "relearning"}),
    ),
    Question(
        anchor="broke",
        title="What else broke?",
        words=frozenset({"bypass", "collateral", "others", "damage", "forgetting"}),
    ),
)
TOOLS = Question(anchor="tools", title="Can the tools and the verdict be trusted?", words=frozenset({"calibration"}))
CHECKS = Question(
    anchor="checks", title="Checks of base models and data", words=frozenset({"base", "data"}), folded=True
)
FURTHER = Question(anchor="further", title="Further claims", words=frozenset())
_WHOLE = (TOOLS, CHECKS)  # known by the first part of an id, whatever the others are
_FAILED = (Status.REFUTED, Status.INVALID)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with its claims. open: whether to show them at once."""

    question: Question
    records: tuple[Record, ...]

    @property
    def open(self) -> bool:
        return not self.question.folded or any(r.verdict.status in _FAILED for r in self.records)


def question_of(claim: str) -> Question:
    """By its first part, if that says it all; else by its last part that is known: `duration.revival` asks about revival."""
    first, *others = re.split(r"[.\-_]", claim.lower())
    for question in _WHOLE:
        if first in question.words:
            return question
    for part in reversed([first, *others]):
        for question in QUESTIONS:
            if part in question.words:
                return question
    return FURTHER


def asked(records: Sequence[Record]) -> list[Asked]:
    """The questions that have claims, in the order of a report; checks come last."""
    ordered = in_order(records)
    found = [(question, tuple(r for r in ordered if question_of(r.claim) is question))
             for question in (*QUESTIONS, TOOLS, FURTHER, CHECKS)]  # fmt: skip
    return [Asked(question=question, records=claims) for question, claims in found if claims]
