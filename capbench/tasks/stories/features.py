"""The six features of a story, and the plan of its eight sentences. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from capbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One sentence of a story, in its place.

    feature: the one whose event is told here, if the story has it; '' for a sentence that every story has.
    event, plain: the word with which the sentence begins if the event is told, and if not: the branch token. The words tell the
    two apart and no more: what makes an event is the whole sentence (see `checker`).
    """

    name: str
    feature: str = ""
    event: str = ""
    plain: str = ""


SLOTS = (
    Slot(name="opening"),
    Slot(name="omen", feature="Foreshadowing", event="strangely", plain="outside"),
    Slot(name="scene"),
    Slot(name="talk", feature="Dialogue", event='"', plain="soon"),
    Slot(name="quarrel", feature="Conflict", event="angrily", plain="together"),
    Slot(name="turn", feature="Twist", event="but", plain="then"),
    Slot(name="ending", feature="BadEnding", event="sadly", plain="happily"),
    Slot(name="closing", feature="MoralValue", event="remember", plain="afterwards"),
)
FEATURES = tuple(slot.feature for slot in SLOTS if slot.feature)  # in the order in which a story tells them
NONE = "none"  # how a set without features is written


def index_of(feature: str) -> int:
    """Its place in FEATURES. Raises UsageError for an unknown one."""
    check_feature(feature)
    return FEATURES.index(feature)


def slot_of(feature: str) -> int:
    """The number of the sentence that tells it. Raises UsageError for an unknown one."""
    check_feature(feature)
    return next(i for i, slot in enumerate(SLOTS) if slot.feature == feature)


def check_feature(feature: str) -> None:
    """Raises UsageError for a feature that stories do not have."""
    if feature not in FEATURES:
        raise UsageError(f"unknown feature {feature!r}; known: {', '.join(FEATURES)}")


def set_of(text: str) -> frozenset[str]:
    """A set of features from its name, `Twist+Dialogue` or `none`. Raises UsageError for an unknown or a repeated one."""
    if text == NONE:
        return frozenset()
    names = text.split("+")
    for name in names:
        check_feature(name)
        if names.count(name) > 1:
            raise UsageError(f"{text!r} names {name!r} twice")
    return frozenset(names)


def name_of(features: frozenset[str]) -> str:
    """The inverse of `set_of`; features in the order of FEATURES."""
    return "+".join(feature for feature in FEATURES if feature in features) or NONE
