"""The attacks by name: what a user may choose from, and what is tried if nothing is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from capbench.errors import UsageError
from capbench.measure.attacks.ablation import Ablation
from capbench.measure.attacks.benign import RetainOnly, Unrelated
from capbench.measure.attacks.ground import Attack, Ground
from capbench.measure.attacks.lens import LogitLens
from capbench.measure.attacks.prompts import FewShot, Paraphrases
from capbench.measure.attacks.pruning import Pruning
from capbench.measure.attacks.reft import Reft
from capbench.measure.attacks.rounding import Rounding
from capbench.measure.attacks.steering import Steering
from capbench.models.base import Model

_Made = Callable[[Model, Model, Ground], list[Attack]]


def _reft(base: Model, tuned: Model, ground: Ground) -> list[Attack]:
    e = ground.effort
    return [*(Reft(rate, e.steps) for rate in e.rates), Reft(e.low_rank_rate, e.steps, with_lora=True)]


# Each gives its attacks for a pair of models. In the order of what they cost.
ATTACKS: Mapping[str, _Made] = {
    "few-shot": lambda base, tuned, ground: [FewShot(ground.effort.shots)],
    "paraphrase": lambda base, tuned, ground: [Paraphrases()],
    "lens": lambda base, tuned, ground: [LogitLens()],
    "rounding": lambda base, tuned, ground: [Rounding(8), Rounding(4)],
    "pruning": lambda base, tuned, ground: [Pruning(ground.effort.rows)],
    "ablation": lambda base, tuned, ground: [Ablation(base, tuned, ground)],
    "steering": lambda base, tuned, ground: [Steering(base, tuned, ground)],
    "retain": lambda base, tuned, ground: [RetainOnly(ground.effort.rates[1], ground.effort.steps)],
    "unrelated": lambda base, tuned, ground: [Unrelated(ground.effort.rates[1], ground.effort.steps)],
    "reft": _reft,
}
NAMES = tuple(ATTACKS)


def known(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once. Raises UsageError, one line, for one that no attack has."""
    asked = tuple(dict.fromkeys(names))
    for name in asked:
        if name not in ATTACKS:
            raise UsageError(f"unknown attack {name!r}; known: {', '.join(NAMES)}")
    return asked


def attacks(names: Iterable[str], base: Model, tuned: Model, ground: Ground) -> list[Attack]:
    """Those of these names on a pair of models. Raises UsageError for an unknown name."""
    asked = known(names)
    return [attack for name, made in ATTACKS.items() if name in asked for attack in made(base, tuned, ground)]
