"""English text that is on every machine: the documentation that Python brings along for its own `help`."""

from __future__ import annotations

import re
from functools import cache

from capbench.errors import UsageError


@cache
def prose(least: int = 200) -> tuple[str, ...]:
    """Paragraphs of sentences, at least so many characters long, in one fixed order; none of them is code or a table.

    Their order and number depend on Python's version. Raises UsageError where Python came without its documentation.
    """
    try:
        from pydoc_data import topics
    except ModuleNotFoundError:
        raise UsageError(
            "Python's own documentation (pydoc_data) is not installed; give a text with the key retain"
        ) from None
    parts = (" ".join(part.split()) for _, text in sorted(topics.topics.items()) for part in re.split(r"\n\s*\n", text))
    return tuple(dict.fromkeys(part for part in parts if len(part) >= least and _is_sentences(part)))


def _is_sentences(text: str) -> bool:
    plain = sum(c.isalpha() or c in " ,." for c in text) / len(text)
    return text[0].isupper() and text[-1] == "." and plain > 0.95
