"""What is read off compiled models. Each reading's result is kept; torch is imported inside.

Names: `base` the compiled model with a little noise, `tuned` after fine-tuning, `never` compiled to O_FT's program instead.
"""

from __future__ import annotations

from capbench.studies.tracr.readings.answers import accuracies, behaviour
from capbench.studies.tracr.readings.circuits import circuit
from capbench.studies.tracr.readings.maps import attention, sorting
from capbench.studies.tracr.readings.patches import layers_put_in, patching
from capbench.studies.tracr.readings.weights import (
    neuron_pruning,
    neuron_search_control,
    weight_pruning,
    weight_search_control,
)

__all__ = [
    "accuracies",
    "attention",
    "behaviour",
    "circuit",
    "layers_put_in",
    "neuron_pruning",
    "neuron_search_control",
    "patching",
    "sorting",
    "weight_pruning",
    "weight_search_control",
]
