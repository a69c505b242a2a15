"""The same questions asked otherwise: with examples before them, or in other words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from capbench.errors import UsageError
from capbench.tasks.language.capability import Item

SHOTS = 4


def few_shot(
    items: Sequence[Item], examples: Sequence[Item], *, shots: int = SHOTS, seed: int = 0, between: str = "\n"
) -> list[Item]:
    """Each prompt after `shots` examples with their answers, drawn for it alone, none of its own group.

    Raises UsageError if there are too few.
    """
    rng, found = random.Random(seed), list[Item]()
    for item in items:
        others = [example for example in examples if example.group != item.group]
        if len(others) < shots:
            raise UsageError(f"{item.place}: {shots} examples, and only {len(others)} items are of another group")
        drawn = "".join(f"{example.prompt}{example.answer}{between}" for example in rng.sample(others, shots))
        found.append(replace(item, prompt=drawn + item.prompt))
    return found


def paraphrased(items: Sequence[Item], number: int) -> list[Item]:
    """Each prompt in its paraphrase of this number, from 0. Raises UsageError for an item that has none."""
    for item in items:
        if number >= len(item.paraphrases):
            raise UsageError(f"{item.place}: it has {len(item.paraphrases)} paraphrases; there is no number {number}")
    return [replace(item, prompt=item.paraphrases[number]) for item in items]
