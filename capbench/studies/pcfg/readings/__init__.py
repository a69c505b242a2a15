"""What is read off the models of the PCFG experiments. Each reading's result is kept; torch is imported inside.

Names: `base` the pretrained model, `tuned` after fine-tuning, `never` a model never taught O_PT.
"""

from __future__ import annotations

from capbench.studies.pcfg.readings.answers import (
    accuracies,
    accuracies_by_family,
    behaviour,
    collateral,
    families,
    wrong_answers,
)
from capbench.studies.pcfg.readings.balance import class_balance
from capbench.studies.pcfg.readings.changes import localization
from capbench.studies.pcfg.readings.neurons import pruning, pruning_search, pruning_search_wide
from capbench.studies.pcfg.readings.patches import layers_put_in, patching
from capbench.studies.pcfg.readings.probes import (
    description_length,
    probing,
    probing_by_token,
    retention,
)

__all__ = [
    "accuracies",
    "accuracies_by_family",
    "behaviour",
    "class_balance",
    "collateral",
    "description_length",
    "families",
    "layers_put_in",
    "localization",
    "patching",
    "probing",
    "probing_by_token",
    "pruning",
    "pruning_search",
    "pruning_search_wide",
    "retention",
    "wrong_answers",
]
