"""From which depth of a PCFG model on the old answer is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.patched import accuracy_by_layer, depth_measured
from capbench.studies.pcfg.readings.sampling import drawn, sampled
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgStudy


def layers_put_in(bench: Bench[PcfgStudy], base: Built, model: Built) -> Iterator[Measurement]:
    """Accuracy on O_PT at C_Te 0 of the base with the model's stream put in, by layer: what `patching` is made of.

    Maps between the streams are fitted on natural strings of the selection split.
    """
    preset, study = bench.study.preset, bench.study
    task, evaluate = sampled(bench, study.operands[0], 0, preset.n_evaluate)
    select = study.evaluation(study.operands[0], c_te=None, split="select")
    fitting = drawn(select, preset.n_select, subseed(bench.seed, "select streams"))
    yield from accuracy_by_layer(bench, base, model, task, select=fitting, evaluate=evaluate)


def patching(bench: Bench[PcfgStudy], base: Built, tuned: Built, never: Built) -> Iterator[Measurement]:
    """How deep O_PT is gone (`patching.depth`): the streams of each model put into the base, layer by layer."""
    models = {"base": base, "never": never, "tuned": tuned}
    by_layer = {name: bench.read(layers_put_in, {"base": base, "model": built})[0] for name, built in models.items()}
    yield from depth_measured(bench, by_layer, bench.study.preset.n_evaluate)
