"""Accuracy without knowledge: the zero of every scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from capbench.tasks.language.capability import Capability
from capbench.tasks.language.streams import Prompt, Prompts


def chance(of: Capability, train: Prompts, evaluate: Prompts) -> float:
    """As the capability gives it; else the best of three guesses that read no prompt, on the items to evaluate.

    One takes each choice equally often. The others know how often each answer is right among the items to train on: one always
    gives the commonest, one the commonest of the item's choices, of equals any. As that is counted there, they are no higher by
    chance alone. A checker's is 0 unless it is given.
    """
    if of.chance is not None:
        return of.chance
    if of.is_checked:
        return 0.0
    commonest = Counter(string.answer for string in train.strings).most_common(1)[0][0]
    constant = sum(string.answer == commonest for string in evaluate.strings) / len(evaluate)
    even = sum(1 / len(string.choices) if string.choices else 0.0 for string in evaluate.strings) / len(evaluate)
    seen = Counter(string.answer[0] for string in train.strings)
    frequent = sum(_of_the_commonest(string, seen) for string in evaluate.strings) / len(evaluate)
    return max(constant, even, frequent)


def _of_the_commonest(string: Prompt, seen: Mapping[int, int]) -> float:
    """How often the answer is taken among those choices of a prompt that were right most often."""
    most = max((seen.get(choice, 0) for choice in string.choices), default=0)
    taken = [choice for choice in string.choices if seen.get(choice, 0) == most]
    return 1 / len(taken) if string.answer[0] in taken else 0.0
