"""The rule that gives thresholds: what the tools read on the setting half of the pool, and what follows from it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capbench.studies.calibration.areas import auc, pooled
from capbench.studies.calibration.kept import Thresholds
from capbench.studies.calibration.outcome import Outcome
from capbench.verdicts.tools import Tool

ENOUGH = 0.97  # area from which a tool has a vote
_BEYOND = 1e9  # stands for infinity, which has no quantiles


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one tool read off the models that set its thresholds, without those that were built against it."""

    group: str
    tool: Tool
    wrapped: tuple[float, ...]
    deleted: tuple[float, ...]

    @property
    def thresholds(self) -> Thresholds | None:
        """See `thirds`; None where one side has no value, so that the provisional ones stay."""
        if not (self.wrapped and self.deleted):
            return None
        absent, present = thirds(self.wrapped, self.deleted)
        area = auc(self.wrapped, self.deleted)
        return Thresholds(absent=round(absent, 3), present=round(present, 3), auc=round(area, 4), votes=area >= ENOUGH)


def thirds(wrapped: Sequence[float], deleted: Sequence[float]) -> tuple[float, float]:
    """(absent up to, present from): a third into the gap between the deleted and the wrapped models, from either side.

    The gap goes from the 95 % quantile of the deleted to the 5 % quantile of the wrapped. Where they overlap, what lies in the
    overlap is unclear: it is absent up to the quantile of the wrapped, and present from that of the deleted.
    """
    import numpy as np

    wrapped, deleted = (np.clip(values, -_BEYOND, _BEYOND).tolist() for values in (wrapped, deleted))
    low, high = float(np.quantile(deleted, 0.95)), float(np.quantile(wrapped, 0.05))
    if low < high:
        return low + (high - low) / 3, high - (high - low) / 3
    return high, low


def setting(found: Outcome, tools: Mapping[str, tuple[Tool, ...]]) -> list[Setting]:
    """What every tool that may vote read. tools: by group, 'trained' and 'compiled', as they are before a calibration."""
    return [
        Setting(group=group, tool=tool, wrapped=tuple(wrapped), deleted=tuple(deleted))
        for group, of in tools.items()
        for tool in of
        if tool.votes
        for wrapped, deleted in [pooled(found.sample(tool.name, compiled=group == "compiled"))]
    ]
