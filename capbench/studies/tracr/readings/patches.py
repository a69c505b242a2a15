"""From which depth of a compiled model on the old answer is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.patched import accuracy_by_layer, depth_measured
from capbench.studies.seeds import subseed
from capbench.studies.tracr.readings.common import sampled

if TYPE_CHECKING:
    from capbench.studies.tracr.study import TracrStudy


def layers_put_in(bench: Bench[TracrStudy], base: Built, model: Built) -> Iterator[Measurement]:
    """Accuracy on O_PT at C_Te 0 of the base with the model's stream put in, by layer: what `patching` is made of."""
    from capbench.measure.accuracy import sample

    study = bench.study
    task, evaluate = sampled(bench, "O_PT", 0)
    select = study.evaluation(study.o_pt, c_te=0, split="select")
    fitting = sample(select, study.preset.n_select, subseed(bench.seed, "select streams"))
    yield from accuracy_by_layer(bench, base, model, task, select=fitting, evaluate=evaluate)


def patching(bench: Bench[TracrStudy], base: Built, tuned: Built, never: Built) -> Iterator[Measurement]:
    """How deep O_PT is gone (`patching.depth`): the streams of each model put into the base, layer by layer."""
    models = {"base": base, "never": never, "tuned": tuned}
    by_layer = {name: bench.read(layers_put_in, {"base": base, "model": built})[0] for name, built in models.items()}
    yield from depth_measured(bench, by_layer, bench.study.preset.n_evaluate)
