"""How much is tried to bring a capability back, as plain data without torch: what presets hold and keys are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from capbench.tasks.splits import Split


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is tried. most: items asked, by split. texts, length: strings on which the loss is read, and their tokens.

    rates, low_rank_rate: of relearning, for weights and for LoRA. steps, batch: of each relearning; beside: strings of text in a
    batch. places: layers, and scales: factors, at which a direction is tried. rows: numbers of pruned rows.
    """

    # Round numbers; rates are about a factor of three apart. Fewer steps were tried: 16 left a real pair undecided, 24 do not.
    most: Mapping[Split, int] = field(default_factory=lambda: {"train": 400, "select": 64, "evaluate": 200}, hash=False)
    texts: int = 16
    length: int = 32
    rates: tuple[float, float, float] = (3e-5, 1e-4, 3e-4)
    low_rank_rate: float = 5e-4
    steps: int = 24
    batch: int = 16
    beside: int = 2
    shots: int = 4
    places: int = 5
    scales: tuple[float, ...] = (1.0, 2.0)
    rows: tuple[int, ...] = (8, 64, 512)
    seed: int = 0
