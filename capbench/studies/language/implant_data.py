"""What the implant study trains and measures on, of one seed: what is taught, other answers to it, and text. No torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from capbench.errors import UsageError
from capbench.studies.language.implant_preset import ImplantPreset
from capbench.tasks.language.capability import CHOICE, Capability, Item, Kind
from capbench.tasks.language.chance import chance
from capbench.tasks.language.generated.facts import implanted_facts
from capbench.tasks.language.generated.skill import Code
from capbench.tasks.language.implanting import Implant, implanting
from capbench.tasks.language.named import capability, is_implant
from capbench.tasks.language.novel import novel
from capbench.tasks.language.splitting import held_out
from capbench.tasks.language.streams import Prompts, Texts, aligned
from capbench.tasks.language.tokenising import Tokeniser

GENERATED, FACTS = "implant-skill", "implant-facts"


def to_implant(capabilities: tuple[str, ...]) -> str:
    """Of the capabilities that were asked for the one to implant; the generated skill if there is none.

    Raises UsageError for several.
    """
    asked = [spec for spec in capabilities if is_implant(spec)]
    if len(asked) > 1:
        raise UsageError(
            f"the implant suite takes one capability at a time, not {' and '.join(asked)}; run it for each"
        )
    return asked[0] if asked else f"{GENERATED}:0"


def kind_of(capabilities: tuple[str, ...]) -> Kind:
    """Whether what is to be implanted is a skill, or facts. Raises UsageError for what cannot be read, and for several."""
    return Implanted.of(to_implant(capabilities), 0).taught.kind


@dataclass(frozen=True, kw_only=True)
class Implanted:
    """taught: what no model knows. rule: the same prompts with other answers; those of a skill follow another rule."""

    taught: Capability
    rule: Capability

    @classmethod
    def of(cls, spec: str, seed: int) -> Implanted:
        """By name or file. seed: of the run; a generated capability is another one for each, counted from its own.

        Raises UsageError, one line, for a capability whose items do not list their choices.
        """
        name, _, first = spec.partition(":")
        if name == GENERATED:
            number = int(first or 0) + seed
            return cls(taught=Code(seed=number).capability(), rule=Code(seed=number, asked=2).capability())
        found = implanted_facts(int(first or 0) + seed) if name == FACTS else capability(spec)
        if found.metric != CHOICE or found.drawn:
            raise UsageError(
                f"{spec}: the implant suite needs a capability whose items list their choices; this one has the metric "
                f"{found.metric!r}{' and drawn choices' if found.drawn else ''}"
            )
        # Not the same answers under other names: these would teach the twin all of a skill but its names.
        return cls(taught=found, rule=novel(found, seed=seed) if found.kind == "skill" else _others(found, seed))


def _others(of: Capability, seed: int) -> Capability:
    """Another of the item's choices, drawn for each: no rule leads from the one to the other."""
    rng = random.Random(f"others {seed}")

    def moved(item: Item) -> Item:
        return replace(item, answer=rng.choice([one for one in sorted(item.choices) if one != item.answer]))

    return _changed(of, moved)


def _changed(of: Capability, change: Callable[[Item], Item]) -> Capability:
    return replace(of, items={split: tuple(map(change, items)) for split, items in of.items.items()})


@dataclass(frozen=True, kw_only=True)
class Streams:
    """As tokens, for one model.

    taught: what the model was taught, and methods may read: of a skill the items to train on, of facts all. relearn: what a
    revival trains on, the items to train on. select, evaluate: the other two splits. rule: `taught` with the answers of another
    rule, of facts with others; redrawn: with an answer drawn for each prompt alone, which tells nothing of what was taught.
    texts: to be kept, shaped as prompts are; held: other texts, for the loss. asked: facts from pretraining; None where there
    are none. chance: accuracy without knowledge.
    """

    kind: Kind
    taught: Prompts
    relearn: Prompts
    select: Prompts
    evaluate: Prompts
    rule: Prompts
    redrawn: Prompts
    implant: Implant
    texts: Texts
    held: Texts
    asked: Prompts | None
    chance: float


def streams(implanted: Implanted, tokeniser: Tokeniser, preset: ImplantPreset, seed: int) -> Streams:
    """Those of one seed. Raises UsageError, one line, for items or texts that the tokeniser cannot take."""
    of = implanted.taught
    kept, held = held_out(of.retain)
    unrelated = _capitals(tokeniser) if preset.beside else None
    relearn, select, evaluate = (tokeniser.prompts(of, of.items[split]) for split in ("train", "select", "evaluate"))
    taught = tokeniser.prompts(of, of.taught)
    rng = random.Random(f"redrawn {seed}")
    drawn = [replace(item, answer=rng.choice(item.choices)) for item in of.taught]
    rule = tokeniser.prompts(implanted.rule, implanted.rule.taught)
    redrawn = tokeniser.prompts(replace(of, name=f"{of.name} redrawn"), drawn)
    before = max(taught.before, rule.before, redrawn.before, preset.text_len)
    one, two, three = (replace(stream, before=before) for stream in aligned(taught, rule, redrawn))
    asked = None
    if unrelated is not None:
        items = unrelated.items["evaluate"][: preset.beside]
        asked = tokeniser.prompts(unrelated, items)
    return Streams(
        kind=of.kind,
        taught=one,
        relearn=relearn,
        rule=two,
        redrawn=three,
        select=few(select, preset.n_watch, seed),
        evaluate=few(evaluate, preset.n_evaluate, seed),
        implant=implanting(replace(of, retain=kept), tokeniser, unrelated=unrelated, seed=seed),
        texts=tokeniser.texts(f"texts beside {of.name}", kept, length=one.seq_len, answer_pos=one.answer_pos),
        held=_fewer(tokeniser.texts(f"texts held out of {of.name}", held, length=preset.held_len), preset.n_texts),
        asked=asked,
        chance=chance(of, relearn, evaluate),
    )


def _capitals(tokeniser: Tokeniser) -> Capability | None:
    """Facts that language models have, where the package is there that lists them, and the tokeniser tells them apart."""
    try:
        found = capability("capitals")
        tokeniser.prompts(found, list(found))
    except UsageError:
        return None
    return found


def few(prompts: Prompts, n: int, seed: int) -> Prompts:
    """n of them, drawn with the seed, in their order; all if there are no more."""
    if len(prompts) <= n:
        return prompts
    return prompts.part(sorted(random.Random(f"few {seed}").sample(range(len(prompts)), n)))


def _fewer(texts: Texts, n: int) -> Texts:
    """So many strings, spread over all of them."""
    step = max(1, len(texts) // n)
    return replace(texts, strings=texts.strings[::step][:n])
