"""True facts that hardly anything else is told by, from Python's standard library: what relearning them brings back was there."""

from __future__ import annotations

import mimetypes
import random
from http import HTTPStatus

from capbench.errors import UsageError
from capbench.tasks.language.capability import Item


def unrelated(n: int, *, seed: int = 0) -> list[Item]:
    """n of them, drawn with the seed, each with its whole answer. Raises UsageError if there are not as many."""
    statuses = [(f"The HTTP status code {status.value} means", status.phrase) for status in HTTPStatus]
    types = mimetypes.MimeTypes(filenames=()).types_map[True]
    files = [(f"The media type of a file that ends in {ending} is", kind) for ending, kind in sorted(types.items())]
    every = [
        Item(prompt=prompt, answer=f" {answer}", group=prompt, place="unrelated facts")
        for prompt, answer in statuses + files
    ]
    if n > len(every):
        raise UsageError(f"{n} unrelated facts: there are only {len(every)}")
    return random.Random(f"unrelated {seed}").sample(every, n)
