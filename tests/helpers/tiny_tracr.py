"""The Tracr experiments at a size that costs little: strings of at most nine letters, 30 steps."""

from __future__ import annotations

import dataclasses

from capbench.methods.specs.registry import find
from capbench.pipeline.steps import Compile, Step
from capbench.studies.tracr.preset import small
from capbench.studies.tracr.study import TracrCounter, TracrMax

TINY = dataclasses.replace(
    small(),
    name="tiny",
    counter_content=(8, 9),
    largest_count=4,
    max_content=(7, 8),
    finetune_steps=30,
    revive_steps=20,
    revive_every=10,
    batch_size=32,
    prune_ks=(1, 2),
    prune_most=2,
    prune_search=12,
    n_search=64,
    random_draws=2,
    n_evaluate=160,
    n_select=160,
    n_watch=32,
    n_attention=64,
)


def counter(method: str = "full", **changes: object) -> TracrCounter:
    """The tiny Counter study, with some of its preset's fields changed."""
    return TracrCounter(preset=dataclasses.replace(TINY, **changes), method=find(method))  # type: ignore[arg-type]


def largest(method: str = "full", **changes: object) -> TracrMax:
    """The tiny study of the Max-identifier."""
    return TracrMax(preset=dataclasses.replace(TINY, **changes), method=find(method))  # type: ignore[arg-type]


def counter_steps(study: TracrCounter, seed: int = 0) -> dict[str, Step]:
    """Every model of the study that a reading takes, by the name that it has there."""
    tuned, never = study.finetuned(seed, c_tr=1.0, lr="medium"), study.never(seed)
    return {
        "base": study.base(seed),
        "tuned": tuned,
        "never": never,
        "reft_small": study.revival(tuned, seed, lr="small"),
        "scrft_small": study.revival(never, seed, lr="small"),
    }


def max_steps(study: TracrMax, seed: int = 0) -> dict[str, Step]:
    return {
        "base": study.base(seed),
        "tuned": study.finetuned(seed, c_tr=0.0, lr="small"),
        "never": study.never(seed),
    }


# Four letters, two to four of them: compiled in a moment.
COUNT_A = Compile(
    program="capbench.tasks.tracr.programs:count",
    arguments=("a",),
    vocabulary=("a", "b", "c", "d"),
    max_seq_len=4,
    bos="$",
    pad="#",
)
COUNT_B = dataclasses.replace(COUNT_A, arguments=("b",))
