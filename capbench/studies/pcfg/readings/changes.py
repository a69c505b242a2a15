"""Where in a trained model the change sits that fine-tuning made. Torch is imported inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.pcfg.readings.sampling import drawn, sampled
from capbench.studies.readings import curve_of, number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgStudy

GOAL = 0.9  # share of the lost O_PT accuracy that is to come back


def localization(bench: Bench[PcfgStudy], base: Built, tuned: Built) -> Iterator[Measurement]:
    """The smallest share of weights, rows and layers that, set back to the base model's values, gives back 90 % of O_PT.

    By unit: `localization.<units>.share`; `.recovered`: what that share gives back on the evaluation split, of the accuracy that
    was lost; `.random`: what as many random units do. Chosen on the selection split; strings at C_Te 0.
    """
    import torch

    from capbench.measure.localization import Units, localized

    preset, study = bench.study.preset, bench.study
    o_pt, _ = study.operands
    task, evaluate = sampled(bench, o_pt, 0, preset.n_evaluate)
    choosing = study.evaluation(o_pt, c_te=0, split="select")
    kinds: tuple[Units, ...] = ("weights", "rows", "layers")
    for units in kinds:
        found = localized(
            base.model,
            tuned.model,
            task,
            select=drawn(choosing, preset.n_select, subseed(bench.seed, "localize")),
            evaluate=evaluate,
            units=units,
            goal=GOAL,
            random_draws=preset.random_draws,
            rng=torch.Generator().manual_seed(subseed(bench.seed, f"random {units} taken back")),
        )
        share, recovered, random = None, None, None
        if found is not None:
            share, recovered, random = found.share, found.recovered[found.chosen], found.random[found.chosen]
            points = [(k / found.units, y) for k, y in zip(found.counts, found.recovered, strict=True)]
            yield curve_of(bench, "localization", units, points, x_label="share taken back", y_label="O_PT given back")
        note = "" if found else "fine-tuning lost nothing of O_PT at C_Te 0"
        for name, value in (("share", share), ("recovered", recovered), ("random", random)):
            name = f"localization.{units}.{name}"
            yield number(bench, name, value, "share", preset.n_evaluate, "localization", note=note)
