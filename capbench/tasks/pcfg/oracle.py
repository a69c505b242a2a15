"""The answer to a prompt, read off its words one by one. Deliberately shares no code with the sampler that it checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def answer(prompt: Sequence[str], meanings: Mapping[str, str] | None = None) -> str:
    """The answer's word for a prompt of words: SOS T_<family> operand number SOT text … EOT ART ….

    meanings: family token -> family, where they differ (jailbreak: NJ -> C). Raises ValueError for a prompt that is not of
    this form or a family without an oracle.
    """
    words = list(prompt)
    if len(words) < 6 or words[0] != "SOS" or words[4] != "SOT" or "EOT" not in words:
        raise ValueError(f"not a prompt: {' '.join(words)}")
    family, operand, number = words[1].removeprefix("T_"), words[2], int(words[3])
    family = (meanings or {}).get(family, family)
    text = words[5 : words.index("EOT")]
    if not 1 <= number <= len(text):
        raise ValueError(f"not a prompt, its number is not within the text: {' '.join(words)}")
    if family == "T":
        if operand != "NULL":
            raise ValueError(f"family T has no operand: {operand}")
        return text[len(text) - number]
    if family not in ("C", "CC", "I", "IC"):
        raise ValueError(f"no oracle for family {family!r}")
    looked_for = [operand]
    if family in ("CC", "IC"):
        looked_for = [operand[: len(operand) // 2]] * 2
        if operand != "".join(looked_for):
            raise ValueError(f"no composite: {operand}")
    occurrences = []  # where the operand begins and ends, counted back from EOT
    for end in range(len(looked_for), len(text) + 1):
        begin = end - len(looked_for)
        if text[begin:end] == looked_for:
            occurrences.append((len(text) - begin, len(text) - end + 1))
    if family in ("C", "CC"):
        return str(sum(begin <= number for begin, _ in occurrences))
    return str(occurrences[-number][1]) if len(occurrences) >= number else "0"
