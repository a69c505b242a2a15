"""A capability in natural language, as text: items in three splits, and what is to be kept beside them. No tokens, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from capbench.errors import UsageError
from capbench.tasks.splits import Split

Kind = Literal["skill", "facts"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SPLITS: tuple[Split, ...] = get_args(Split)
CHOICE, EXACT = "choice", "exact"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question with its answer, as text that is read right after the prompt.

    choices: the answers that it is one of, itself among them; () if there are none, or they are drawn. group: items of one group
    are in one split. paraphrases: the same question in other words. fields: what the templates were filled with. place: where it
    stands, for messages.
    """

    prompt: str
    answer: str
    group: str
    choices: tuple[str, ...] = ()
    paraphrases: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What a model can or cannot do.

    kind: a skill is a rule over inputs, which held-out inputs test; facts are independent of each other. metric: `choice`, the
    most likely of an item's choices at the first token in which they differ; `exact`, every token of the answer most likely;
    or `file.py:function`, a checker of what the model writes. drawn: how many choices an item has, where they are drawn from all
    answers; 0: the items have their own. chance: accuracy without knowledge, if it was given. tokens: that a checker reads.
    retain: texts, and others: prompts of something else, that a change of the model should leave as they are.
    """

    name: str
    kind: Kind
    metric: str
    items: Mapping[Split, tuple[Item, ...]]
    drawn: int = 0
    chance: float | None = None
    tokens: int = 16
    retain: tuple[str, ...] = ()
    others: tuple[Item, ...] = ()

    @property
    def is_checked(self) -> bool:
        """Whether a function of the user's judges what the model writes."""
        return self.metric not in (CHOICE, EXACT)

    @property
    def taught(self) -> tuple[Item, ...]:
        """The items that a model must have been taught to have it: of a skill those to train on, of facts all."""
        return self.items["train"] if self.kind == "skill" else tuple(self)

    def __iter__(self) -> Iterator[Item]:
        for split in SPLITS:
            yield from self.items[split]


def check_items(of: Capability) -> None:
    """Raises UsageError, one line, for splits that overlap or are empty, and for a question that is there twice."""
    prompts: dict[str, tuple[Split, Item]] = {}
    groups: dict[str, tuple[Split, Item]] = {}
    for split in SPLITS:
        for item in of.items[split]:
            if (before := prompts.setdefault(item.prompt, (split, item)))[1] is not item:
                raise UsageError(_twice(item, split, *before))
            if (first := groups.setdefault(item.group, (split, item)))[0] != split:
                raise UsageError(
                    f"{item.place}: group {item.group!r} is in split {split!r} and, at {first[1].place}, in {first[0]!r}; "
                    "splits must not overlap"
                )
    for split in SPLITS:
        if not of.items[split]:
            raise UsageError(
                f"{of.name}: no item is in split {split!r}; each of {', '.join(SPLITS)} needs at least one"
            )


def _twice(item: Item, split: Split, other_split: Split, other: Item) -> str:
    start = f"{item.place}: the prompt {shown(item.prompt)}"
    if split != other_split:
        return f"{start} is in split {split!r} and, at {other.place}, in {other_split!r}; splits must not overlap"
    if item.answer != other.answer:
        return f"{start} has the answer {item.answer!r} here and {other.answer!r} at {other.place}; it must have one"
    return f"{start} is the same as at {other.place}; omit one"


def shown(text: str, most: int = 60) -> str:
    """A text in a message: quoted, and only its end where it is long."""
    return repr(text if len(text) <= most else f"…{text[-most:]}")
