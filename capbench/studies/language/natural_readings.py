"""What is read off a given model and the same after a change. Each reading's result is kept; torch is imported inside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.language.natural_study import NaturalStudy
from capbench.studies.readings import accuracy_number, number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.measure.attacks.ground import Ground

NOT_RUN = "no attack was tried, as the capability is kept or the model is damaged"


def ability(bench: Bench[NaturalStudy], base: Built) -> Iterator[Measurement]:
    """natural.base.accuracy: on the items to evaluate, with .low and .high, 95 % over items; natural.base.above: less chance;

    natural.base.loss: nats per token of text to keep; natural.chance.
    """
    ground = _ground(bench)
    score = ground.score(base.model, "evaluate")
    yield accuracy_number(bench, "natural.base.accuracy", score.accuracy, score.n)
    yield from _ends(bench, "natural.base.accuracy", *score.interval, score.n)
    yield number(bench, "natural.base.above", score.accuracy - ground.chance, "difference", score.n, "accuracy")
    yield number(bench, "natural.chance", ground.chance, "accuracy", score.n, "accuracy")
    yield number(bench, "natural.base.loss", ground.loss(base.model), "nats/token", len(ground.texts), "text")


def outcome(bench: Bench[NaturalStudy], base: Built, tuned: Built) -> Iterator[Measurement]:
    """What became of the capability, by the attacks of the preset; see `natural.judged`.

    natural.tuned.accuracy; natural.kept: the same, 0 at chance or below it and 1 in the base; natural.rise: relative rise of the
    loss on text; natural.text: the loss before ÷ after, at most 1; natural.recovered: natural.kept after the strongest attack
    that counts, its note the verdict in words. natural.kept and natural.recovered have .low and .high, 95 % over items.
    natural.attack.<name>: of every attack; natural.relearnt.<model>.<on what>: facts, on the half that is scored.
    Without values where the base does not have the capability.
    """
    from capbench.measure.attacks.named import NAMES
    from capbench.studies.language.natural import judged, requirement
    from capbench.studies.language.natural_words import state

    ground = _ground(bench)
    score, n = ground.score(base.model, "evaluate"), len(ground.items["evaluate"])
    names = ("natural.kept", "natural.text", "natural.recovered")
    if why := requirement(score, ground.chance):
        for name in names:
            yield number(bench, name, None, "accuracy", n, "attacks", note=why)
        return
    found = judged(base.model, tuned.model, ground, names=bench.study.preset.attacks or NAMES)
    yield accuracy_number(bench, "natural.tuned.accuracy", found.tuned.accuracy, n)
    yield accuracy_number(bench, names[0], _share(found.share.value), n)
    yield from _ends(bench, names[0], found.share.low, found.share.high, n)
    text = found.loss_base / found.loss_tuned if math.isfinite(found.loss_tuned) else 0.0
    yield number(bench, names[1], _share(text), "accuracy", len(ground.texts), "text")
    if math.isfinite(found.rise):
        yield number(bench, "natural.rise", found.rise, "share", len(ground.texts), "text")
    by, words = found.by, f"{state(found)}: {found.judged.why}"
    brought = None if by is None else _share(by.evaluate)
    note = words if found.attempts else f"{words}; {NOT_RUN}"
    yield number(bench, names[2], brought, "accuracy", n, "attacks", note=note)
    if by is not None:
        yield from _ends(bench, names[2], by.low, by.high, n)
    for attempt in found.attempts:
        why = f"does not count: {attempt.admissible}" if attempt.admissible else attempt.detail
        yield number(bench, f"natural.attack.{attempt.name}", attempt.evaluate, "share", n, "attacks", note=why)
    for name, why in found.impossible.items():
        yield number(bench, f"natural.attack.{name}", None, "share", n, "attacks", note=why)
    for row in found.relearnt:
        for name, score in (("tuned", row.tuned), ("base", row.base)):
            yield accuracy_number(bench, f"natural.relearnt.{name}.{row.what}", score.accuracy, score.n)


def _ends(bench: Bench[NaturalStudy], name: str, low: float, high: float, n: int) -> Iterator[Measurement]:
    """The interval over items."""
    for end, value in (("low", low), ("high", high)):
        yield accuracy_number(bench, f"{name}.{end}", _share(value), n)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _ground(bench: Bench[NaturalStudy]) -> Ground:
    from capbench.measure.attacks.ground import Ground
    from capbench.studies.language.judging import scorer

    study, seed = bench.study, subseed(bench.seed, "attacks")
    of, tokeniser = study.asked, study.tokeniser
    effort = replace(study.preset.effort, seed=seed)
    return Ground.made(of, tokeniser, effort=effort, scorer=scorer(of, tokeniser))
