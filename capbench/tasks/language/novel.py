"""What no model was taught, in the form of something it was: the control of whatever brings a capability back.

Of facts: the same questions about made-up names, with the answers dealt out anew. Of a skill: the same inputs and answers by
another rule, which reads how the input is spelled. What brings a capability back must not teach these.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from capbench.tasks.language.capability import SPLITS, Capability, Item
from capbench.tasks.language.generated.words import ENDS, ONSETS, VOWELS

MOST = 8  # different answers of a novel rule
# What a rule may read of an input. The first that uses its answers about equally often is taken.
_RULES: tuple[Callable[[str], object], ...] = (
    lambda text: next((c for c in text.casefold() if c.isalnum()), ""),
    lambda text: next((c for c in reversed(text.casefold()) if c.isalnum()), ""),
    len,
)


def novel(of: Capability, *, seed: int = 0) -> Capability:
    """A capability with the same form, splits and choices, whose answers follow from nothing that a model can know."""
    dealt = _facts(of, seed) if of.kind == "facts" else _skill(of)
    items = {split: tuple(dealt[item.prompt] for item in of.items[split]) for split in SPLITS}
    return replace(of, name=f"novel {of.name}", items=items)


def permuted(of: Capability, *, seed: int = 0) -> Capability:
    """The items to train on with their answers dealt out anew among them, none to an item with that answer, as far as can be."""
    rng = random.Random(f"permuted {seed}")
    items = list(of.items["train"])
    answers = [item.answer for item in items]
    rng.shuffle(answers)
    for i, item in enumerate(items):
        if answers[i] == item.answer:
            others = [j for j, other in enumerate(items) if answers[j] != item.answer != other.answer != answers[i]]
            if others:
                j = rng.choice(others)
                answers[i], answers[j] = answers[j], answers[i]
    train = tuple(replace(item, answer=answer) for item, answer in zip(items, answers, strict=True))
    return replace(of, name=f"permuted {of.name}", items={**of.items, "train": train})


def _facts(of: Capability, seed: int) -> dict[str, Item]:
    every = list(of)
    answers = [item.answer for item in every]
    random.Random(f"novel {seed}").shuffle(answers)
    return {
        item.prompt: _renamed(replace(item, answer=_own(item, answer, i)), seed)
        for i, (item, answer) in enumerate(zip(every, answers, strict=True))
    }


def _own(item: Item, answer: str, i: int) -> str:
    """The answer, or of an item with choices of its own the one of this number among these."""
    choices = sorted(item.choices)
    return answer if not choices or answer in choices else choices[i % len(choices)]


def _renamed(item: Item, seed: int) -> Item:
    """Its prompt and paraphrases about made-up names: each field that the prompt has gets one, always the same for a value."""
    names = {value: _name(value, seed) for value in item.fields.values() if value and value in item.prompt}
    texts = [item.prompt, *item.paraphrases]
    for value in sorted(names, key=len, reverse=True):
        texts = [text.replace(value, names[value]) for text in texts]
    return replace(item, prompt=texts[0], paraphrases=tuple(texts[1:]))


def _name(value: str, seed: int) -> str:
    rng = random.Random(hashlib.sha256(f"{seed}\n{value}".encode()).digest())
    syllables = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(3)]
    return ("".join(syllables) + rng.choice(ENDS)).capitalize()


def _skill(of: Capability) -> dict[str, Item]:
    every = list(of)
    pool = sorted(answer for answer, _ in Counter(item.answer for item in every).most_common(MOST))
    inputs = [_input(item) for item in every]
    found = [_by_groups([rule(text) for text in inputs], len(pool)) for rule in _RULES]
    even = next((f for f in found if max(Counter(f).values()) <= 2 * len(every) / len(pool)), found[-1])
    return {item.prompt: replace(item, answer=_own(item, pool[i], i)) for item, i in zip(every, even, strict=True)}


def _input(item: Item) -> str:
    """The first field that is in the prompt, else the prompt."""
    return next((value for value in item.fields.values() if value and value in item.prompt), item.prompt)


def _by_groups(values: Sequence[object], n: int) -> list[int]:
    """Which of n groups a value is in: values in their order, cut where the groups are about equally large."""
    counts = sorted(Counter(values).items(), key=lambda pair: str(pair[0]).rjust(8))
    where, done = dict[object, int](), 0
    for value, count in counts:
        where[value] = min(n - 1, int((done + count / 2) * n / len(values)))
        done += count
    return [where[value] for value in values]
