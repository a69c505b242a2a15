"""Accuracy without knowledge: the zero of every scale."""

from __future__ import annotations

from collections import Counter

from capbench.tasks.language.capability import Capability
from capbench.tasks.language.streams import Prompts


def chance(of: Capability, train: Prompts, evaluate: Prompts) -> float:
    """As the capability gives it; else the better of two guesses that read no prompt, on the items to evaluate.

    One takes each choice equally often. The other always gives the commonest answer of the items to train on; as it is chosen
    there, it is no higher by chance alone. A checker's is 0 unless it is given.
    """
    if of.chance is not None:
        return of.chance
    if of.is_checked:
        return 0.0
    commonest = Counter(string.answer for string in train.strings).most_common(1)[0][0]
    constant = sum(string.answer == commonest for string in evaluate.strings) / len(evaluate)
    even = sum(1 / len(string.choices) if string.choices else 0.0 for string in evaluate.strings) / len(evaluate)
    return max(constant, even)
