"""A few stories to read: what a model tells before and after, for the same instruction blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capbench.results import Measurement, Passage
from capbench.studies.lab import Bench, Built
from capbench.studies.seeds import subseed
from capbench.studies.stories.readings.examiner import told_by
from capbench.studies.stories.study import StoriesStudy
from capbench.tasks.stories.checker import where

N = 3  # stories that are shown of each model
_TITLES = {
    "base": "before",
    "tuned": "after deletion",
    "filtered": "after filtering",
    "mixed": "after mix & match",
    "randomised": "after randomisation",
    "never": "never taught",
}


def passages(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """Three stories of each model, told greedily, all asked for with the target; its event is marked, where its place is known.

    models: by the names of `readings`. <model>.story.<i>: whether story i has the target, 0 or 1, as an accuracy, with its text.
    """
    study = bench.study
    for name, built in models.items():
        told, prompts = told_by(bench, built, study.asking(True), N, subseed(bench.seed, "passages"))
        rows = zip(prompts, told.texts, told.found, strict=True)
        for i, (prompt, text, found) in enumerate(rows, 1):
            marked = where(text, study.target) if study.own is None else ()
            yield Measurement(
                name=f"{name}.story.{i}",
                value=float(study.target in found.features),
                unit="accuracy",
                n=1,
                seed=bench.seed,
                group="stories",
                series=_title(name),
                passage=Passage(prompt=prompt, text=text, marked=marked),
            )


def _title(name: str) -> str:
    """A model in words: `after 64 steps of reFT`."""
    if found := re.fullmatch(r"reft_(\d+)", name):
        return f"after {found[1]} steps of reFT"
    return _TITLES.get(name, name)
