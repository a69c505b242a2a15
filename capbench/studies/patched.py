"""Activation patching: what the studies of trained and of compiled models share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.results import Measurement
from capbench.studies.base import Study
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import curve_of, number

if TYPE_CHECKING:
    from capbench.tasks.base import Batch, Task


def accuracy_by_layer(
    bench: Bench[Study], base: Built, model: Built, task: Task, *, select: Batch, evaluate: Batch
) -> Iterator[Measurement]:
    """Accuracy of the base with the model's stream put in, as a curve; the reason in its place where that cannot be done."""
    from capbench.measure.patch import patched

    try:
        depths, accuracies = patched(base.model, model.model, task=task, select=select, evaluate=evaluate)
    except UsageError as error:
        yield number(bench, "by layer", None, "accuracy", 0, "patching", note=str(error))
    else:
        points = list(zip(depths, accuracies, strict=True))
        yield curve_of(bench, "by layer", "", points, x_label="block", y_label="accuracy")


def depth_measured(bench: Bench[Study], by_layer: Mapping[str, Measurement], n: int) -> Iterator[Measurement]:
    """patching.depth of the old capability in `tuned`, given the accuracies by layer with the stream of each model put in.

    patching.depth: 0 as in `base`, 1 as in `never`; patching.kept: 1 - depth; patching.gone_from: from which layer on the old
    answer is gone, in blocks. They are missing where a model has no stream to put in, or no layer tells base from never.
    """
    from capbench.measure.patch import Depth

    curves = {
        name: [(x, y) for x, y in zip(m.curve.x, m.curve.y, strict=True) if y is not None]
        for name, m in by_layer.items()
        if m.curve is not None
    }
    for name, points in curves.items():
        series = {"never": "never taught"}.get(name, name)
        yield curve_of(
            bench, "patching", series, points, x_label="block after which it is put in", y_label="O_PT accuracy"
        )
    depth = gone_from = None
    note = next((m.note for m in by_layer.values() if m.curve is None), "")
    if len(curves) == len(by_layer):
        # A model may have a block more than its base: what both have counts.
        layers = list(zip(*(curves[name] for name in ("base", "never", "tuned")), strict=False))
        base, never, tuned = (tuple(layer[i][1] for layer in layers) for i in range(3))
        found = Depth(depths=tuple(layer[0][0] for layer in layers), base=base, never=never, tuned=tuned)
        depth, gone_from = found.value, found.gone_from
        note = "" if depth is not None else "no layer of the never-taught model loses the answer"
    yield number(bench, "patching.depth", depth, "depth", n, "patching", note=note)
    yield number(bench, "patching.kept", None if depth is None else 1 - depth, "share", n, "patching", note=note)
    still_there = note or "still there in the last layer"
    note = "" if gone_from is not None else still_there
    yield number(bench, "patching.gone_from", gone_from, "blocks", n, "patching", note=note)
