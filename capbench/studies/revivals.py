"""Reading revivals: how soon a capability comes back, against models that never had it. Kept, as every reading is.

A curve is named `<kind>_<rate>`: who is trained on O_PT (see TITLES), and at which rate of the scale; or, under one of the
attacks, `<kind>_<attack>.<rate>`. Scr.+FT of another seed, which shows how far seeds are apart, is `scrft<seed>_<rate>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from capbench.measure.revive import RevivalCurve, SpeedUp, Time, fastest, largest, speed_up, spread, time_to
from capbench.pipeline.steps import Revive, Step
from capbench.results import Measurement
from capbench.studies.base import FineTuningPreset, Study
from capbench.studies.lab import Bench, Built, read_on
from capbench.studies.readings import curve_of, number

LEVELS = (50, 75, 90, 95)  # per cent: those whose steps are reported
# Those of the tools' speed-up. 50 % is less steady over seeds, and a goal of 95 % can be dodged by a plateau below it.
JUDGED = (75, 90)
TITLES = {
    "reft": "reFT",
    "scrft": "Scr.+FT",
    "scr": "Scr.",
    "others": "Scr.+FT, pretrained on the other operands",
    "twin": "Scr.+FT, after the same method",
    "retained": "retain-only",
}
FEWEST_POINTS = 5  # of a curve, up to where a baseline got: what is done in fewer cannot be told apart
BASELINES = ("scrft", "scr", "others", "twin")  # models that never had the capability


_OF_ANCHOR = re.compile(r"scrft\d+")  # the kind of a curve of another seed


class Reviving(Study, Protocol):
    """A study whose models are revived."""

    @property
    def preset(self) -> FineTuningPreset: ...


@dataclass(frozen=True)
class Curve:
    """One training on O_PT, and its budget of steps."""

    kind: str
    rate: str
    points: RevivalCurve
    budget: int

    def time(self, accuracy: float) -> Time:
        return time_to(self.points, accuracy, budget=self.budget)


def anchor_revivals(study: Any, seed: int, *, lr: str) -> dict[str, Revive]:
    """Scr.+FT of the study's anchors, each on its own seed's data, by role: `scrft<seed>_<rate>`."""
    anchors = {read_on(role, seed): step for role, step in study.anchors(seed).items()}
    return {f"scrft{other}_{lr}": study.revival(step, other, lr=lr) for other, step in anchors.items()}


def attack_of(rate: str) -> str:
    """The attack that a curve's rate is one of; '' for full fine-tuning at a rate of the scale, which all runs have."""
    return rate.partition(".")[0] if "." in rate else ""


def of_anchor(name: str) -> bool:
    """Whether a curve of this name is of a model of another seed."""
    return _OF_ANCHOR.fullmatch(name.rpartition("_")[0]) is not None


def curves(models: Mapping[str, Step]) -> list[str]:
    """The names of those models of a claim that are curves."""
    return [name for name, step in models.items() if isinstance(step, Revive)]


def revival(bench: Bench[Reviving], **models: Built) -> Iterator[Measurement]:
    """Steps to 50, 75, 90 and 95 % of every curve, and how much sooner reFT gets there than baselines (Fig. 9).

    revival.ratio.<rate>: steps to the goal, Scr.+FT ÷ reFT, as in the paper; revival.ratio: each at its fastest rate.
    revival.speed_up: what the tools read. Each side is taken at its fastest rate, and of the baselines (Scr.+FT, Scr., the other
    operands, the twin) the fastest; and of the two levels, 75 and 90 %, the one at which reFT is further ahead.
    Where one side did not get there within its budget, a ratio is a bound; where neither did, it has no value.
    With all attacks, the speed-up is the largest over them too, each against the baselines under the same attack.

    revival.speed_up.spread: by how much the speed-up of one never-taught model over another differs from 1, as a standard
    deviation over seeds (see `spread`). It is made where there are curves of other seeds.
    """
    every = [curve_from(name, built) for name, built in models.items()]
    anchors = [curve for curve in every if _OF_ANCHOR.fullmatch(curve.kind)]
    every = [curve for curve in every if curve not in anchors]
    found = [curve for curve in every if not attack_of(curve.rate)]
    for curve in found:
        yield from _of_one(bench, curve)
    goal = bench.study.preset.goal
    reft = [curve for curve in found if curve.kind == "reft"]
    for rate in dict.fromkeys(curve.rate for curve in reft):
        at_rate = [curve for curve in found if curve.rate == rate]
        yield _ratio(bench, f"revival.ratio.{rate}", _race(at_rate, ["scrft"], goal))
    yield _ratio(bench, "revival.ratio", _race(found, ["scrft"], goal))
    by_level = {level: _race(found, BASELINES, level / 100) for level in JUDGED}
    for level, faster in by_level.items():
        yield _ratio(bench, f"revival.speed_up{level}", faster)
    under_attack = [_under_attack(every, rate) for rate in dict.fromkeys(c.rate for c in every if attack_of(c.rate))]
    yield _ratio(bench, "revival.speed_up", largest([*by_level.values(), *under_attack]))
    if anchors:
        apart = max(
            (spread([curve.time(level / 100) for curve in anchors]) for level in JUDGED), key=lambda s: s.value or 0.0
        )
        yield _ratio(bench, "revival.speed_up.spread", apart)
    retained = [value for curve in found if curve.kind == "retained" for _, value in curve.points]
    if retained:
        n = bench.study.preset.n_watch
        yield number(bench, "revival.retain_only", max(retained), "accuracy", n, "revival")


def curve_from(name: str, built: Built) -> Curve:
    """A curve as it was recorded, by its name in a claim."""
    kind, _, rate = name.rpartition("_")
    step = built.step
    assert isinstance(step, Revive)
    return Curve(kind, rate, built.curve("O_PT"), step.train.steps)


def _under_attack(every: Iterable[Curve], rate: str) -> SpeedUp:
    """The larger speed-up of the two levels; none where a baseline got there within a few points of its curve."""
    found = [curve for curve in every if curve.rate == rate]
    races = []
    for accuracy in (level / 100 for level in JUDGED):
        among = [c.points for c in found if c.kind in BASELINES]
        if all(sum(value < accuracy for _, value in points) >= FEWEST_POINTS for points in among):
            races.append(_race(found, BASELINES, accuracy))
    return largest(races)


def _race(found: Iterable[Curve], baselines: Iterable[str], accuracy: float) -> SpeedUp:
    """reFT against the fastest of these baselines, each at its fastest rate."""
    revived, against = (
        fastest(curve.time(accuracy) for curve in found if curve.kind in kinds) for kinds in (["reft"], baselines)
    )
    return speed_up(revived, against)


def _of_one(bench: Bench[Reviving], curve: Curve) -> Iterator[Measurement]:
    series, n, name = (
        f"{TITLES[curve.kind]}, {curve.rate} rate",
        bench.study.preset.n_watch,
        f"{curve.kind}.{curve.rate}",
    )
    yield curve_of(bench, "revival", series, curve.points, x_label="reviving step", y_label="O_PT accuracy")
    for level in LEVELS:
        time = curve.time(level / 100)
        if time.steps is None:  # more than the budget
            more = number(
                bench, f"revival.{name}.steps{level}", time.budget, "steps", n, "revival", note="never reached"
            )
            yield replace(more, bound=">=")
        else:
            yield number(bench, f"revival.{name}.steps{level}", time.steps, "steps", n, "revival")
    accuracies = [value for _, value in curve.points]
    for what, reached in (("start", accuracies[0]), ("best", max(accuracies))):
        yield number(bench, f"revival.{name}.{what}", reached, "accuracy", n, "revival")


def _ratio(bench: Bench[Reviving], name: str, found: SpeedUp) -> Measurement:
    n = bench.study.preset.n_watch
    return replace(number(bench, name, found.value, "ratio", n, "revival", note=found.note), bound=found.bound)
