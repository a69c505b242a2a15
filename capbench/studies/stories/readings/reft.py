"""How soon reFT brings the target back, against models that never had it (Table 1, Fig. of App. F)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from capbench.errors import NoAnswerError
from capbench.measure.revive import SpeedUp, Time, fastest, largest, speed_up
from capbench.results import Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.readings import curve_of, number
from capbench.studies.seeds import subseed
from capbench.studies.stories.readings.telling import likelihood_on_the_way, on_the_way
from capbench.studies.stories.study import StoriesStudy

if TYPE_CHECKING:
    from capbench.models.base import Model

KINDS = {"tuned": "reft", "never": "scrft", "twin": "twin"}  # of a revival, by what it starts with
TITLES = {"reft": "reFT", "scrft": "never taught", "twin": "never taught, after the same deletion"}
LEVELS = (50, 75)  # per cent of told stories; the paper's reFT ends between 75 and 94
ENOUGH = LEVELS[-1] / 100
CLEAN = 0.5  # of the never-taught model's steps: a twin that needs fewer was taught. A related task may speed it up somewhat.


def relearned(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    """What a copy tells while all its weights are trained on stories with the target, at a constant rate: after so many steps of

    the preset, 0 among them, share.<k>. The training ends where the share is the highest of LEVELS. loss.<k> and branch.<k>,
    where there is a branch token, at both ends. budget: the steps that it had; missing where it diverged, or answers NaN.
    """
    import copy

    from capbench.tasks.stories.protocols import relearning as with_target
    from capbench.training.loop import fit, observing

    study, p = bench.study, bench.study.preset
    own = copy.deepcopy(model.model).requires_grad_(True)
    shares = [(0, on_the_way(bench, model, own))]
    yield from _likelihoods(bench, own, 0)
    broke_off = False

    def look(step: int, now: Model) -> bool:
        nonlocal broke_off
        if step in p.relearn_steps:
            try:
                shares.append((step, on_the_way(bench, model, now)))
            except NoAnswerError:
                broke_off = True
        return broke_off or shares[-1][1] >= ENOUGH

    train = p.relearning("medium", p.relearn_steps[-1], subseed(bench.seed, "relearn"), study.device)
    if shares[0][1] < ENOUGH:
        with observing(look) as fits:
            fit(own, with_target(study.target, of=study.stories), train)
        broke_off |= any(found.diverged for found in fits)
        if not broke_off:
            yield from _likelihoods(bench, own, shares[-1][0])
    for step, share in shares:
        yield number(bench, f"share.{step}", share, "accuracy", p.n_tell, "relearning")
    budget = None if broke_off else train.steps
    yield number(bench, "budget", budget, "steps", 0, "relearning", note="its training diverged" if broke_off else "")


def _likelihoods(bench: Bench[StoriesStudy], model: Model, step: int) -> Iterator[Measurement]:
    n = bench.study.preset.n_evaluate
    for (name, unit), value in zip(
        (("loss", "nats/token"), ("branch", "probability")), likelihood_on_the_way(bench, model), strict=True
    ):
        if value is not None and math.isfinite(value):
            yield number(bench, f"{name}.{step}", value, unit, n, "relearning")


@made_of(relearned)
def relearning(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """How much sooner reFT brings the target back than the controls learn it. models: `tuned`, and of `never` and `twin` those

    that there are. relearning.<kind>.share.<k> and so on: see `relearned`; relearning.<kind>.steps50, .steps75: the step at which
    the share gets there, on straight lines between the steps that were looked at; a bound where it did not.
    relearning.ratio: steps to 75 %, never taught ÷ reFT; relearning.speed_up: what the tools read, the larger of the two levels,
    against the faster of the controls. There is none where the model has the share before its first step, as nothing was lost;
    where one of these trainings broke off; and where the method taught its twin the target, which is no control then.
    """
    times: dict[int, dict[str, Time]] = {level: {} for level in LEVELS}
    broken: dict[int, list[str]] = {level: [] for level in LEVELS}
    n = bench.study.preset.n_tell
    for start, kind in KINDS.items():
        if start not in models:
            continue
        found = {m.name: m for m in bench.read(relearned, {"model": models[start]})}
        budget = found.pop("budget")
        for m in found.values():
            yield replace(m, name=f"relearning.{kind}.{m.name}")
        shares = [(int(name[6:]), m.value or 0.0) for name, m in found.items() if name.startswith("share.")]
        yield curve_of(
            bench, "relearning", TITLES[kind], shares, x_label="step of reFT", y_label="stories with the target"
        )
        for level in LEVELS:
            reached = number(bench, f"relearning.{kind}.steps{level}", None, "steps", n, "relearning")
            at = _reached(shares, level / 100)
            if at is not None:
                yield replace(reached, value=at)
            elif budget.value is None:  # a training that broke off says nothing of what is there
                yield replace(reached, note=budget.note)
                broken[level].append(TITLES[kind])
                continue
            else:
                yield replace(reached, value=budget.value, bound=">=", note="never reached")
            most = budget.value if budget.value is not None else shares[-1][0]
            times[level][kind] = Time(steps=at, budget=int(most))  # type: ignore[arg-type]  # a part of a step
    yield _ratio(bench, "relearning.ratio", _race(times[75], ["scrft"]))
    races = {level: _race(times[level], ["scrft", "twin"]) for level in LEVELS}
    for level, whose in broken.items():
        if whose:
            races[level] = SpeedUp(value=None, note=f"the training of {' and of '.join(whose)} diverged")
    best = largest(races.values())
    yield _ratio(bench, "relearning.speed_up", next((r for t in times.values() if (r := _taught(t))), best))


def _taught(times: Mapping[str, Time]) -> SpeedUp | None:
    """Where the twin gets there in fewer than half the steps of the never-taught model that it was: then the method taught it

    the target. A model that is compared with it may hide the target all the same.
    """
    never, twin = times.get("scrft"), times.get("twin")
    if never is None or twin is None or twin.steps is None:
        return None
    there = never.budget if never.steps is None else never.steps
    if twin.steps >= CLEAN * there:
        return None
    words = f"the method taught its twin: it gets there after {twin.steps:.3g} steps, the never-taught model after "
    return SpeedUp(value=None, note=f"{words}{'more than ' if never.steps is None else ''}{there:.3g}")


def _reached(shares: Sequence[tuple[int, float]], level: float) -> float | None:
    """When the share first gets to the level: between two of the steps, as a rule; 0 if it is there before the first."""
    if shares[0][1] >= level:
        return 0
    for (before, low), (after, high) in itertools.pairwise(shares):
        if high >= level:
            return before + (level - low) / (high - low) * (after - before)
    return None


def _race(times: dict[str, Time], against: list[str]) -> SpeedUp:
    return speed_up(times.get("reft"), fastest(times[kind] for kind in against if kind in times))


def _ratio(bench: Bench[StoriesStudy], name: str, found: SpeedUp) -> Measurement:
    of = number(bench, name, found.value, "ratio", bench.study.preset.n_tell, "relearning", note=found.note)
    return replace(of, bound=found.bound)
