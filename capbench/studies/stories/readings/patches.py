"""From which depth of a story model on the decision for the target is gone."""

from __future__ import annotations

from collections.abc import Iterator

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.patched import accuracy_by_layer, depth_measured
from capbench.studies.seeds import subseed
from capbench.studies.stories.study import StoriesStudy


def layers_put_in(bench: Bench[StoriesStudy], base: Built, model: Built) -> Iterator[Measurement]:
    """How often the base begins the target's event where it is asked for, with the model's stream put in, by layer.

    Maps between the streams are fitted on the selection split.
    """
    from capbench.measure.accuracy import sample

    study = bench.study
    task = study.asking(True)
    evaluate = sample(task, study.preset.n_evaluate, subseed(bench.seed, "patch"))
    fitting = sample(study.asking(True, split="select"), study.preset.n_select, subseed(bench.seed, "select streams"))
    yield from accuracy_by_layer(bench, base, model, task, select=fitting, evaluate=evaluate)


def patching(bench: Bench[StoriesStudy], base: Built, tuned: Built, never: Built) -> Iterator[Measurement]:
    """How deep the decision is gone (`patching.depth`): the streams of each model put into the base, layer by layer."""
    models = {"base": base, "never": never, "tuned": tuned}
    by_layer = {name: bench.read(layers_put_in, {"base": base, "model": built})[0] for name, built in models.items()}
    yield from depth_measured(bench, by_layer, bench.study.preset.n_evaluate)
