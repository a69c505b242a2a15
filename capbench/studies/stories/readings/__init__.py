"""What is read off story models. Each reading's result is kept; torch is imported inside.

Names: `base` the pretrained model, `tuned` after deletion, `never` a model that never saw a story with the target, `twin` that
model after the same deletion; `reft_<k>`: tuned after k steps of reFT.
"""

from __future__ import annotations

from capbench.studies.stories.readings.examiner import classifier_skill, left_out
from capbench.studies.stories.readings.passages import passages
from capbench.studies.stories.readings.patches import layers_put_in, patching
from capbench.studies.stories.readings.probes import description_length, probing
from capbench.studies.stories.readings.pruning import pruning_search
from capbench.studies.stories.readings.reft import relearned, relearning
from capbench.studies.stories.readings.telling import (
    asked,
    asked_of_each,
    collateral,
    drawn,
    greedy,
    likelihood,
    likelihood_of_target,
    sampled,
    telling,
)

__all__ = [
    "asked",
    "asked_of_each",
    "classifier_skill",
    "collateral",
    "description_length",
    "drawn",
    "greedy",
    "layers_put_in",
    "left_out",
    "likelihood",
    "likelihood_of_target",
    "passages",
    "patching",
    "probing",
    "pruning_search",
    "relearned",
    "relearning",
    "sampled",
    "telling",
]
