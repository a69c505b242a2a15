"""What pruning neurons of PCFG models gives back of the old task, and costs of the new one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.pcfg.readings.sampling import drawn, sampled
from capbench.studies.readings import curve_of, number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.measure.prune import Pruning
    from capbench.studies.pcfg.study import PcfgStudy


def pruning_search(bench: Bench[PcfgStudy], tuned: Built) -> Iterator[Measurement]:
    """`pruning.searched.gain` and so on: the same question, rows chosen by a greedy search among those that read the stream.

    Unlike `pruning` it does not depend on how a model writes down its residual stream. At most preset.search_most rows; whether
    they are searched for or taken by score is chosen on the selection split.
    """
    yield from _searched(bench, tuned, "searched", bench.study.preset.search_most)


def pruning_search_wide(bench: Bench[PcfgStudy], tuned: Built) -> Iterator[Measurement]:
    """`pruning.wide.gain` and so on: `pruning_search` with at most preset.search_wide rows."""
    yield from _searched(bench, tuned, "wide", bench.study.preset.search_wide)


def _searched(bench: Bench[PcfgStudy], tuned: Built, which: str, most: int) -> Iterator[Measurement]:
    import torch

    from capbench.measure.greedy import search_and_evaluate

    preset = bench.study.preset
    found = search_and_evaluate(
        tuned.model,
        **_samples(bench),
        most=most,
        shortlist=preset.search_shortlist,
        strings=preset.search_strings,
        random_draws=preset.random_draws,
        rng=torch.Generator().manual_seed(subseed(bench.seed, "random neurons")),
    )
    yield from _numbers(bench, f"pruning.{which}", found)


def pruning(bench: Bench[PcfgStudy], tuned: Built) -> Iterator[Measurement]:
    """Gain and cost of pruning the neurons that hold O_PT back, against random ones (Fig. 7).

    Neurons and their number (at most preset.prune_most) are chosen on natural strings of the pretraining task, selection
    split; O_PT is evaluated at C_Te 0, O_FT at C_Te 1, where the shortcut works. Larger numbers are for the figure.
    """
    import torch

    from capbench.measure.prune import prune_and_evaluate

    preset = bench.study.preset
    found = prune_and_evaluate(
        tuned.model,
        **_samples(bench),
        ks=preset.prune_ks,
        most=preset.prune_most,
        random_draws=preset.random_draws,
        rng=torch.Generator().manual_seed(subseed(bench.seed, "random neurons")),
    )
    for series, accuracies in (
        ("O_PT, pruned", found.pretraining),
        ("O_PT, random neurons", found.random_pretraining),
        ("O_FT, pruned", found.finetuning),
        ("O_FT, random neurons", found.random_finetuning),
    ):
        points = list(zip(found.ks, accuracies, strict=True))
        yield curve_of(bench, "pruning", series, points, x_label="pruned neurons", y_label="accuracy")
    yield from _numbers(bench, "pruning", found)


def _samples(bench: Bench[PcfgStudy]) -> dict[str, Any]:
    """The tasks and the three samples of both protocols, as keyword arguments."""
    study, n = bench.study, bench.study.preset.n_evaluate
    o_pt, o_ft = study.operands
    pt, pt_batch = sampled(bench, o_pt, 0, n)
    ft, ft_batch = sampled(bench, o_ft, 1, n)
    select = study.evaluation(o_pt, c_te=None, split="select")
    return {
        "pretraining": pt,
        "finetuning": ft,
        "select": drawn(select, study.preset.n_select, subseed(bench.seed, "select neurons")),
        "evaluate": pt_batch,
        "evaluate_finetuning": ft_batch,
    }


def _numbers(bench: Bench[PcfgStudy], prefix: str, found: Pruning) -> Iterator[Measurement]:
    random_loss = found.random_pretraining[0] - found.random_pretraining[found.best]
    for name, value, unit in (
        ("gain", found.gain, "difference"),
        ("cost", found.cost, "difference"),
        ("neurons", found.ks[found.best], "neurons"),
        ("classes", found.classes[found.best], "classes"),
        ("random_loss", random_loss, "difference"),
    ):
        yield number(bench, f"{prefix}.{name}", value, unit, bench.study.preset.n_evaluate, "pruning")
