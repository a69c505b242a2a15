"""Readings that every experiment shares, and how readings are written down. Each reading's result is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from capbench.measure.revive import RevivalCurve, SpeedUp, fastest, speed_up, steps_to
from capbench.results import Curve, Measurement
from capbench.studies.base import FineTuningPreset, Study
from capbench.studies.lab import Bench, Built, Reading


class Reviving(Study, Protocol):
    """A study whose models are revived."""

    @property
    def preset(self) -> FineTuningPreset: ...


STEPS = (50, 90, 95)  # per cent: the levels whose steps are reported


def finetuning_curves(bench: Bench[Study], tuned: Built) -> Iterator[Measurement]:
    """What fine-tuning cost, and accuracy and gradient norms meanwhile, as the training loop recorded them.

    finetuning.steps: of the optimizer; finetuning.tokens: that passed with gradients, finetuning.forward_tokens: without;
    finetuning.seconds: of the training itself, on the machine that made the model, whenever that was.
    No curves for methods with a loop of their own.
    """
    for name, count in tuned.meta["budget"].items():
        unit = "steps" if name == "steps" else "tokens"
        yield number(bench, f"finetuning.{name}", count, unit, 0, "fine-tuning")
    if (seconds := tuned.meta.get("seconds")) is not None:
        yield number(bench, "finetuning.seconds", seconds, "seconds", 0, "fine-tuning")
    for series, points in tuned.meta["curves"].items():
        if len(points) > 1:
            yield curve_of(bench, "fine-tuning", series, points, x_label="fine-tuning step", y_label="accuracy")
    if tuned.meta["grad_norm"]:
        norms = tuned.meta["grad_norm"]
        y_label = "largest gradient norm"
        yield curve_of(bench, "fine-tuning", "gradient", norms, x_label="fine-tuning step", y_label=y_label)
        largest = max(norm for _, norm in norms)
        yield number(bench, "finetuning.largest_gradient", largest, "norm", 0, "fine-tuning")


def revival(bench: Bench[Reviving], **curves: Built) -> Iterator[Measurement]:
    """Steps to 50, 90 and 95 % of reFT, Scr.+FT and Scr. at each reviver rate, and their ratios (Fig. 9).

    The models are named `reft_<rate>`, `scrft_<rate>`, `scr_<rate>`, and `retained_<rate>` for a revival without any example
    of O_PT. revival.ratio compares each at its fastest rate, as does revival.speed_up, which the tools read. Where one of the two
    did not get there within the budget, the ratio is a bound; where neither did, it has no value.
    """
    preset = bench.study.preset
    titles = {"reft": "reFT", "scrft": "Scr.+FT", "scr": "Scr.", "retained": "retain-only"}
    by_kind: dict[str, dict[str, RevivalCurve]] = {kind: {} for kind in titles}
    for name, built in curves.items():
        kind, rate = name.split("_")
        points = by_kind[kind][rate] = built.curve("O_PT")
        series = f"{titles[kind]}, {rate} rate"
        yield curve_of(bench, "revival", series, points, x_label="reviving step", y_label="O_PT accuracy")
        for level in STEPS:
            yield _steps(bench, f"revival.{kind}.{rate}.steps{level}", steps_to(points, level / 100), preset.n_watch)
        accuracies = [value for _, value in points]
        for what, reached in (("start", accuracies[0]), ("best", max(accuracies))):
            yield number(bench, f"revival.{kind}.{rate}.{what}", reached, "accuracy", preset.n_watch, "revival")
    for rate in [*by_kind["reft"], "fastest"]:
        reft, scrft = (
            fastest(by_kind[kind].values() if rate == "fastest" else [by_kind[kind][rate]], preset.goal)
            for kind in ("reft", "scrft")
        )
        found = speed_up(reft, scrft, budget=preset.revive_steps)
        for name in [f"revival.ratio.{rate}"] if rate != "fastest" else ["revival.ratio", "revival.speed_up"]:
            yield _ratio(bench, name, found, preset.n_watch)
    if by_kind["retained"]:
        reached = max(value for points in by_kind["retained"].values() for _, value in points)
        yield number(bench, "revival.retain_only", reached, "accuracy", preset.n_watch, "revival")


def by_model(bench: Bench[Study], part: Reading, models: Mapping[str, Built]) -> Iterator[Measurement]:
    """What a part gives of each model, read once for each: `<model>.<name>`, in the part's order, model beside model."""
    read = [
        [replace(m, name=f"{name}.{m.name}", series=m.series and f"{name} {m.series}") for m in found]
        for name, built in models.items()
        for found in [bench.read(part, {"model": built})]
    ]
    for row in zip(*read, strict=True):
        yield from row


def accuracy_number(bench: Bench[Study], name: str, value: float, n: int) -> Measurement:
    return number(bench, name, value, "accuracy", n, "accuracy")


def number(
    bench: Bench[Study], name: str, value: float | None, unit: str, n: int, group: str, *, note: str = ""
) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, n=n, seed=bench.seed, group=group, note=note)


def _steps(bench: Bench[Reviving], name: str, value: int | None, n: int) -> Measurement:
    note = "" if value is not None else f"never in {bench.study.preset.revive_steps} steps"
    return number(bench, name, value, "steps", n, "revival", note=note)


def _ratio(bench: Bench[Reviving], name: str, found: SpeedUp, n: int) -> Measurement:
    return replace(number(bench, name, found.value, "ratio", n, "revival", note=found.note), bound=found.bound)


def curve_of(
    bench: Bench[Study], group: str, series: str, points: Sequence[Iterable[float]], *, x_label: str, y_label: str
) -> Measurement:
    x, y = zip(*points, strict=True)
    curve = Curve(x=tuple(x), y=tuple(y), x_label=x_label, y_label=y_label)
    return Measurement(
        name=f"{group}.curve", value=None, unit="", n=0, seed=bench.seed, group=group, series=series, curve=curve
    )
