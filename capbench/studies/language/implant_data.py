"""What the implant study trains and measures on, of one seed: the skill, another rule on the same prompts, and text. No torch."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from capbench.errors import UsageError
from capbench.studies.language.implant_preset import ImplantPreset
from capbench.tasks.language.capability import CHOICE, Capability, Item
from capbench.tasks.language.chance import chance
from capbench.tasks.language.generated.skill import Code
from capbench.tasks.language.implanting import Implant, implanting
from capbench.tasks.language.named import capability
from capbench.tasks.language.streams import Prompts, Texts, aligned
from capbench.tasks.language.tokenising import Tokeniser

GENERATED = "implant-skill"
HELD = 4  # one text in so many is held out of training


@dataclass(frozen=True, kw_only=True)
class Skill:
    """taught: the capability, whose answers no model knows. rule: the same prompts with the answers of another rule."""

    taught: Capability
    rule: Capability

    @classmethod
    def of(cls, spec: str, seed: int) -> Skill:
        """By name or file. seed: of the run; a generated skill is another one for each, counted from its own.

        Raises UsageError, one line, for a capability that is no skill with choices.
        """
        name, _, first = spec.partition(":")
        if name == GENERATED:
            number = int(first or 0) + seed
            return cls(taught=Code(seed=number).capability(), rule=Code(seed=number, asked=2).capability())
        found = capability(spec)
        if found.kind != "skill" or found.metric != CHOICE or found.drawn:
            raise UsageError(
                f"{spec}: the implant suite needs a skill whose items list their choices; this one is of kind "
                f"{found.kind!r} with the metric {found.metric!r}{' and drawn choices' if found.drawn else ''}"
            )
        return cls(taught=found, rule=_otherwise(found))


def _otherwise(of: Capability) -> Capability:
    """The next of the item's choices, in their order, in place of each answer."""

    def moved(item: Item) -> Item:
        order = sorted(item.choices)
        return replace(item, answer=order[(order.index(item.answer) + 1) % len(order)])

    return replace(of, items={split: tuple(map(moved, items)) for split, items in of.items.items()})


@dataclass(frozen=True, kw_only=True)
class Streams:
    """As tokens, for one model.

    taught, select, evaluate: the skill's three splits. rule: `taught` with the answers of another rule; redrawn: with an answer
    drawn for each prompt alone, which tells nothing of the skill. texts: to be kept, shaped as prompts are; held: other texts,
    for the loss. beside, asked: facts to be kept, and others of them that are asked; None where there are none. chance: accuracy
    without knowledge.
    """

    taught: Prompts
    select: Prompts
    evaluate: Prompts
    rule: Prompts
    redrawn: Prompts
    implant: Implant
    texts: Texts
    held: Texts
    asked: Prompts | None
    chance: float


def streams(skill: Skill, tokeniser: Tokeniser, preset: ImplantPreset, seed: int) -> Streams:
    """Those of one seed. Raises UsageError, one line, for items or texts that the tokeniser cannot take."""
    of = skill.taught
    kept, held = _divided(of.retain)
    unrelated = _capitals(tokeniser) if preset.beside else None
    taught, select, evaluate = (tokeniser.prompts(of, of.items[split]) for split in ("train", "select", "evaluate"))
    rng = random.Random(f"redrawn {seed}")
    drawn = [replace(item, answer=rng.choice(item.choices)) for item in of.items["train"]]
    rule = tokeniser.prompts(skill.rule, skill.rule.items["train"])
    redrawn = tokeniser.prompts(replace(of, name=f"{of.name} redrawn"), drawn)
    before = max(taught.before, rule.before, redrawn.before, preset.text_len)
    one, two, three = (replace(stream, before=before) for stream in aligned(taught, rule, redrawn))
    asked = None
    if unrelated is not None:
        items = unrelated.items["evaluate"][: preset.beside]
        asked = tokeniser.prompts(unrelated, items)
    return Streams(
        taught=one,
        rule=two,
        redrawn=three,
        select=_few(select, preset.n_watch, seed),
        evaluate=_few(evaluate, preset.n_evaluate, seed),
        implant=implanting(replace(of, retain=kept), tokeniser, unrelated=unrelated, seed=seed),
        texts=tokeniser.texts(f"texts beside {of.name}", kept, length=one.seq_len, answer_pos=one.answer_pos),
        held=_fewer(tokeniser.texts(f"texts held out of {of.name}", held, length=preset.held_len), preset.n_texts),
        asked=asked,
        chance=chance(of, taught, evaluate),
    )


def _divided(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to train on and those held out; of a single text both are the text."""
    if len(texts) < HELD:
        return texts, texts
    return tuple(t for i, t in enumerate(texts) if i % HELD), texts[::HELD]


def _capitals(tokeniser: Tokeniser) -> Capability | None:
    """Facts that language models have, where the package is there that lists them, and the tokeniser tells them apart."""
    try:
        found = capability("capitals")
        tokeniser.prompts(found, list(found))
    except UsageError:
        return None
    return found


def _few(prompts: Prompts, n: int, seed: int) -> Prompts:
    if len(prompts) <= n:
        return prompts
    return prompts.part(sorted(random.Random(f"few {seed}").sample(range(len(prompts)), n)))


def _fewer(texts: Texts, n: int) -> Texts:
    """So many strings, spread over all of them."""
    step = max(1, len(texts) // n)
    return replace(texts, strings=texts.strings[::step][:n])
