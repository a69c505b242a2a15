"""The answer to a prompt, read off its words one by one. Deliberately shares no code with the sampler that it checks."""

from __future__ import annotations

from collections.abc import Sequence


def answer(prompt: Sequence[str]) -> str:
    """The answer's word for a prompt of words: SOS T_<family> operand number SOT text … EOT ART ….

    Raises ValueError for a prompt that is not of this form or a family without an oracle.
    """
    words = list(prompt)
    if len(words) < 6 or words[0] != "SOS" or words[4] != "SOT" or "EOT" not in words:
        raise ValueError(f"not a prompt: {' '.join(words)}")
    family, operand, number = words[1], words[2], int(words[3])
    text = words[5 : words.index("EOT")]
    if family == "T_C":
        found = 0
        for position, word in enumerate(text):
            if position >= len(text) - number and word == operand:
                found += 1
        return str(found)
    if family == "T_I":
        seen = 0
        for distance, word in enumerate(reversed(text), start=1):
            seen += word == operand
            if seen == number:
                return str(distance)
        return "0"
    raise ValueError(f"no oracle for family {family!r}")
