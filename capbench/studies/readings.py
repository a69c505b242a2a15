"""Readings that every experiment shares, and how readings are written down. Each reading's result is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from capbench.results import Curve, Measurement
from capbench.studies.base import Study
from capbench.studies.lab import Bench, Built, Reading


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


def curve_of(
    bench: Bench[Study], group: str, series: str, points: Sequence[Iterable[float]], *, x_label: str, y_label: str
) -> Measurement:
    x, y = zip(*points, strict=True)
    curve = Curve(x=tuple(x), y=tuple(y), x_label=x_label, y_label=y_label)
    return Measurement(
        name=f"{group}.curve", value=None, unit="", n=0, seed=bench.seed, group=group, series=series, curve=curve
    )
