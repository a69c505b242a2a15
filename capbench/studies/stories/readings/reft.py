"""How soon reFT brings the target back, against models that never had it (Table 1, Fig. of App. F)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from capbench.measure.revive import SpeedUp, Time, fastest, largest, speed_up
from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import curve_of, number
from capbench.studies.stories.readings.telling import asked, likelihood_of_target
from capbench.studies.stories.study import StoriesStudy

TITLES = {"reft": "reFT", "scrft": "never taught", "twin": "never taught, after the same deletion"}
STARTS = {"reft": "tuned", "scrft": "never", "twin": "twin"}
LEVELS = (50, 75)  # per cent of told stories; the paper's reFT ends between 75 and 94
_NAME = re.compile(r"(reft|scrft|twin)_(\d+)")


def relearning(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """Shares of told stories with the target after so many steps of reFT, and how much sooner reFT gets there than controls.

    models: `tuned`, `never`, `twin`, and those after k steps (see `readings`). relearning.<kind>.share.<k>, .loss.<k>, and
    where there is a branch token .branch.<k>; relearning.<kind>.steps50, .steps75: the step at which the share gets there, on
    straight lines between the steps that were looked at; a bound where none got there. relearning.ratio: steps to 75 %, never
    taught ÷ reFT; relearning.speed_up: what the tools read, the larger of the two levels, against the faster of the controls. A
    model that has the share before its first step gives no ratio: nothing was lost.
    """
    times: dict[int, dict[str, Time]] = {level: {} for level in LEVELS}
    n = bench.study.preset.n_tell
    for kind, start in STARTS.items():
        found = {0: models[start]} if start in models else {}
        found |= {int(m[2]): built for name, built in models.items() if (m := _NAME.fullmatch(name)) and m[1] == kind}
        if len(found) < 2:
            continue
        points = sorted((steps, *_shares(bench, built)) for steps, built in found.items())
        for what, place, unit in (("share", 1, "accuracy"), ("loss", 2, "nats/token"), ("branch", 3, "probability")):
            for point in points:
                if (value := point[place]) is not None:
                    yield number(bench, f"relearning.{kind}.{what}.{point[0]}", value, unit, n, "relearning")
        shares = [(point[0], point[1]) for point in points]
        yield curve_of(
            bench, "relearning", TITLES[kind], shares, x_label="step of reFT", y_label="stories with the target"
        )
        for level in LEVELS:
            time = _time(shares, level / 100)
            times[level][kind] = time
            reached = number(bench, f"relearning.{kind}.steps{level}", None, "steps", n, "relearning")
            if time.steps is None:
                yield replace(reached, value=time.budget, bound=">=", note="never reached")
            else:
                yield replace(reached, value=time.steps)
    yield _ratio(bench, "relearning.ratio", _race(times[75], ["scrft"]))
    yield _ratio(bench, "relearning.speed_up", largest(_race(times[level], ["scrft", "twin"]) for level in LEVELS))


def _time(shares: Sequence[tuple[int, float]], level: float) -> Time:
    """When the share first gets to the level: between two of the steps, as a rule; 0 if it is there before the first."""
    budget = shares[-1][0]
    if shares[0][1] >= level:
        return Time(steps=0, budget=budget)
    for (before, low), (after, high) in itertools.pairwise(shares):
        if high >= level:
            at = before + (level - low) / (high - low) * (after - before)
            return Time(steps=at, budget=budget)  # type: ignore[arg-type]  # a part of a step
    return Time(steps=None, budget=budget)


def _race(times: dict[str, Time], against: list[str]) -> SpeedUp:
    return speed_up(times.get("reft"), fastest(times[kind] for kind in against if kind in times))


def _ratio(bench: Bench[StoriesStudy], name: str, found: SpeedUp) -> Measurement:
    of = number(bench, name, found.value, "ratio", bench.study.preset.n_tell, "relearning", note=found.note)
    return replace(of, bound=found.bound)


def _shares(bench: Bench[StoriesStudy], built: Built) -> tuple[float, float, float | None]:
    """Share with the target (greedy), loss on stories with it, probability of its branch token, if any; kept with the model."""
    told = {m.name: m.value for m in bench.read(asked, {"model": built})}
    likely = {m.name: m.value for m in bench.read(likelihood_of_target, {"model": built})}
    share, loss = told["O_PT.greedy"], likely["loss.target"]
    assert share is not None and loss is not None
    return share, loss, likely.get("branch")
