"""A few stories to read: what a model tells before and after, for the same instruction blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capbench.results import Measurement, Passage
from capbench.studies.lab import Bench, Built
from capbench.studies.seeds import subseed
from capbench.studies.stories.study import StoriesStudy

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
    """Three stories of each model, told greedily, all asked for with the target; its event is marked.

    models: by the names of `readings`. <model>.story.<i>: whether story i has the target, 0 or 1, as an accuracy, with its text.
    """
    import torch

    from capbench.measure.telling import tell
    from capbench.tasks.stories import vocabulary
    from capbench.tasks.stories.checker import where
    from capbench.tasks.stories.drawing import PROMPT

    target = bench.study.target
    rng = torch.Generator().manual_seed(subseed(bench.seed, "passages"))
    batch, _, asked = bench.study.asking(True).with_features(N, rng)
    prompts = [vocabulary.decode(row) for row in batch.tokens[:, :PROMPT].tolist()]
    for name, built in models.items():
        told = tell(built.model, batch, asked)
        for i, (prompt, text) in enumerate(zip(prompts, told.texts, strict=True), 1):
            marked = where(text, target)
            yield Measurement(
                name=f"{name}.story.{i}",
                value=float(bool(marked)),
                unit="accuracy",
                n=1,
                seed=bench.seed,
                group="stories",
                series=_title(name),
                passage=Passage(prompt=prompt, text=text, marked=marked),
            )


def _title(name: str) -> str:
    """A model in words: `after 64 steps of reFT`."""
    if found := re.fullmatch(r"(reft|scrft|twin)_(\d+)", name):
        kind = {"reft": "reFT", "scrft": "reFT, never taught", "twin": "reFT, never taught, after deletion"}[found[1]]
        return f"after {found[2]} steps of {kind}"
    return _TITLES.get(name, name)
