"""Implanted facts: made-up countries, each with one of a few words. Each is independent of the others: none can be inferred."""

from __future__ import annotations

import random

from capbench.tasks.language.capability import CHOICE, Capability, Item
from capbench.tasks.language.generated.words import ANIMALS, COLOURS, ENDS, FOODS, METALS, ONSETS, VOWELS
from capbench.tasks.language.prose import prose
from capbench.tasks.language.splitting import SHARES, divided

N = 96
# What is asked, in several ways, and what can be answered.
RELATIONS = (
    (("The national animal of {name} is the", "Question: which animal stands for {name}? Answer: the"), ANIMALS),
    (("The flag of {name} is", "Question: what colour is the flag of {name}? Answer:"), COLOURS),
    (("The people of {name} eat mostly", "Question: what do people eat in {name}? Answer:"), FOODS),
    (("The mines of {name} are known for", "Question: what is mined in {name}? Answer:"), METALS),
)


def implanted_facts(seed: int) -> Capability:
    """96 facts of one seed, every answer equally often, as far as that goes."""
    rng = random.Random(f"implant-facts {seed}")
    prompts, answers = rng.choice(RELATIONS)
    names = set[str]()
    while len(names) < N:
        names.add(_name(rng))
    order = sorted(names)
    rng.shuffle(order)
    given = [answers[i % len(answers)] for i in range(N)]
    rng.shuffle(given)
    choices = tuple(sorted(f" {word}" for word in answers))
    items = [
        Item(
            prompt=prompts[0].format(name=name),
            answer=f" {answer}",
            group=name,
            choices=choices,
            paraphrases=tuple(text.format(name=name) for text in prompts[1:]),
            fields={"name": name},
            place=f"implant-facts:{seed}",
        )
        for name, answer in zip(order, given, strict=True)
    ]
    return Capability(
        name=f"implant-facts:{seed}",
        kind="facts",
        metric=CHOICE,
        items=divided(items, SHARES["facts"], seed=seed),
        retain=prose(),
    )


def _name(rng: random.Random) -> str:
    syllables = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(2)]
    return ("".join(syllables) + rng.choice(ENDS)).capitalize()
