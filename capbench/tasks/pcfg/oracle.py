"""The answer to a prompt, read off its words. Deliberately shares no code with the sampler it checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capbench.tasks.pcfg.prompt import PromptFormat


def answer(prompt: Sequence[str], meanings: Mapping[str, str] | None = None, format: PromptFormat | None = None) -> str:
    """The answer word for a prompt: SOS T_<family> operand number SOT text … EOT ART …, or another format.

    meanings: family token -> family, where they differ (jailbreak: NJ -> C). Raises ValueError for a prompt of another form or
    a family without an oracle.
    """
    words = list(prompt)
    before = format is None or format.question == "before"
    header = ("family", "operand", "number") if format is None else format.header
    sot = 4 if before else 1
    if words[:1] != ["SOS"] or words[sot : sot + 1] != ["SOT"] or "EOT" not in words:
        raise ValueError(f"not a prompt: {' '.join(words)}")
    eot = words.index("EOT")
    text = words[sot + 1 : eot]
    question = words[1:4] if before else words[eot + 1 : eot + 4]
    if len(question) < 3 or "ART" in question:
        raise ValueError(f"not a prompt, its question is incomplete: {' '.join(words)}")
    asked = dict(zip(header, question, strict=True))
    if not asked["family"].startswith("T_"):
        raise ValueError(f"not a prompt, {asked['family']!r} is not a family: {' '.join(words)}")
    family, operand, number = asked["family"][2:], asked["operand"], int(asked["number"])
    family = (meanings or {}).get(family, family)
    if not 1 <= number <= len(text):
        raise ValueError(f"not a prompt, its number must be from 1 to {len(text)}: {' '.join(words)}")
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
            raise ValueError(f"not a composite operand: {operand}")
    occurrences = []  # begin and end of each occurrence, counted back from EOT
    for end in range(len(looked_for), len(text) + 1):
        begin = end - len(looked_for)
        if text[begin:end] == looked_for:
            occurrences.append((len(text) - begin, len(text) - end + 1))
    if family in ("C", "CC"):
        return str(sum(begin <= number for begin, _ in occurrences))
    return str(occurrences[-number][1]) if len(occurrences) >= number else "0"
