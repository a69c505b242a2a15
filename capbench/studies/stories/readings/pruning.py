"""What pruning a few rows of a story model brings back of the target, and costs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.seeds import subseed
from capbench.studies.stories.study import StoriesStudy


def pruning_search(bench: Bench[StoriesStudy], tuned: Built) -> Iterator[Measurement]:
    """Rows chosen by a greedy search among those that read the stream, at most preset.search_most of them.

    pruning.searched.gain: how much more often the target's event is begun where it is asked for, over random rows; .cost: how
    much less often its plain sentence is where it is not.
    """
    import torch

    from capbench.measure.accuracy import sample
    from capbench.measure.greedy import search_and_evaluate

    study, preset = bench.study, bench.study.preset
    asked, unasked = study.asking(True), study.asking(False)
    found = search_and_evaluate(
        tuned.model,
        pretraining=asked,
        finetuning=unasked,
        select=sample(study.asking(True, split="select"), preset.n_select, subseed(bench.seed, "select rows")),
        evaluate=sample(asked, preset.n_evaluate, subseed(bench.seed, "evaluate asked")),
        evaluate_finetuning=sample(unasked, preset.n_evaluate, subseed(bench.seed, "evaluate unasked")),
        most=preset.search_most,
        shortlist=preset.search_shortlist,
        strings=preset.search_strings,
        random_draws=preset.random_draws,
        rng=torch.Generator().manual_seed(subseed(bench.seed, "random rows")),
    )
    for name, value, unit in (
        ("gain", found.gain, "difference"),
        ("cost", found.cost, "difference"),
        ("neurons", found.ks[found.best], "neurons"),
    ):
        yield number(bench, f"pruning.searched.{name}", value, unit, preset.n_evaluate, "pruning")
