"""A user's checker of what a model writes: `file.py:function`, called with the text and the item's fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.methods.specs.user_code import import_file, one_line
from capbench.tasks.language.capability import Item

Checker = Callable[[str, dict[str, str]], Any]


def find(metric: str) -> Checker:
    """The function that a metric names. Raises UsageError, one line, if it cannot be imported or is none."""
    where, _, name = metric.rpartition(":")
    try:
        module = import_file(Path(where).resolve())
    except Exception as error:  # the user's own code
        raise UsageError(f"metric {metric}: cannot be imported: {one_line(error)}") from None
    found = getattr(module, name, None)
    if not callable(found):
        raise UsageError(f"metric {metric}: there is no function {name!r} in {where}")
    checker: Checker = found
    return checker


def judged(metric: str, checker: Checker, items: Sequence[Item]) -> Callable[[int, str], float]:
    """What the checker says of the text for the item of this number, 0..1.

    It is called with the text and a dict of the item's fields, with `prompt` and `answer` as the templates gave them. Raises
    UsageError, one line, if it fails or gives anything else.
    """

    def check(number: int, text: str) -> float:
        item = items[number]
        try:
            said = checker(text, {**item.fields, "prompt": item.prompt, "answer": item.answer})
        except Exception as error:  # the user's own code
            raise UsageError(f"metric {metric}: failed on {item.place}: {one_line(error)}") from None
        if not isinstance(said, (bool, int, float)) or not 0 <= said <= 1:
            raise UsageError(
                f"metric {metric}: gave {said!r} for {item.place}; must be True, False or a number from 0 to 1"
            )
        return float(said)

    return check
