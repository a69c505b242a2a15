"""What pruning single weights or neurons of compiled models gives back of the old task, and costs of the new one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import curve_of, number
from capbench.studies.seeds import subseed
from capbench.studies.tracr.readings.common import sampled

if TYPE_CHECKING:
    from capbench.measure.prune import Pruning, Units
    from capbench.studies.tracr.study import TracrStudy


def weight_pruning(bench: Bench[TracrStudy], tuned: Built) -> Iterator[Measurement]:
    """What zeroing at most four single weights gives back of O_PT, and costs of O_FT (Fig. 55-59).

    Weights are searched for on the selection split; random ones are as large. `pruning.weights.classes`: different answers
    of the pruned model: a gain with one answer would be an artefact (Fig. 59).
    """
    yield from _pruning(bench, tuned, "weights")


def neuron_pruning(bench: Bench[TracrStudy], tuned: Built) -> Iterator[Measurement]:
    """The same with neurons, rows of weight matrices."""
    yield from _pruning(bench, tuned, "neurons")


def weight_search_control(bench: Bench[TracrStudy], never: Built) -> Iterator[Measurement]:
    """What the same search makes of a model that never had the capability: `pruning.weights.never` (O_PT accuracy)."""
    yield from _search_control(bench, never, "weights")


def neuron_search_control(bench: Bench[TracrStudy], never: Built) -> Iterator[Measurement]:
    """The same with neurons."""
    yield from _search_control(bench, never, "neurons")


def _pruning(bench: Bench[TracrStudy], tuned: Built, units: Units) -> Iterator[Measurement]:
    found = _searched(bench, tuned, units)
    for series, accuracies in (
        ("O_PT, pruned", found.pretraining),
        (f"O_PT, random {units}", found.random_pretraining),
        ("O_FT, pruned", found.finetuning),
        (f"O_FT, random {units}", found.random_finetuning),
    ):
        points = list(zip(found.ks, accuracies, strict=True))
        yield curve_of(bench, "pruning", series, points, x_label=f"pruned {units}", y_label="accuracy")
    places = ", ".join(".".join(map(str, unit)) for unit in found.chosen)
    for name, value, unit, note in (
        ("reached", found.pretraining[found.best], "accuracy", ""),
        ("gain", found.gain, "difference", ""),
        ("cost", found.cost, "difference", ""),
        ("units", found.ks[found.best], units, places),
        ("classes", found.classes[found.best], "classes", ""),
    ):
        yield number(bench, f"pruning.{units}.{name}", value, unit, bench.study.preset.n_evaluate, "pruning", note=note)


def _search_control(bench: Bench[TracrStudy], never: Built, units: Units) -> Iterator[Measurement]:
    found = _searched(bench, never, units)
    reached = found.pretraining[found.best]
    yield number(bench, f"pruning.{units}.never", reached, "accuracy", bench.study.preset.n_evaluate, "pruning")


def _searched(bench: Bench[TracrStudy], built: Built, units: Units) -> Pruning:
    import torch

    from capbench.measure.accuracy import sample
    from capbench.measure.prune import prune_and_evaluate

    study, preset = bench.study, bench.study.preset
    task, batch = sampled(bench, "O_PT", 0)
    ft_task, ft_batch = sampled(bench, "O_FT", 1)
    select = study.evaluation(study.o_pt, c_te=0, split="select")
    return prune_and_evaluate(
        built.model,
        pretraining=task,
        finetuning=ft_task,
        select=sample(select, preset.n_search, subseed(bench.seed, f"select {units}")),
        evaluate=batch,
        evaluate_finetuning=ft_batch,
        ks=preset.prune_ks,
        most=preset.prune_most,
        random_draws=preset.random_draws,
        rng=torch.Generator().manual_seed(subseed(bench.seed, f"random {units}")),
        units=units,
        search=preset.prune_search,
    )
