"""A tool whose thresholds are no constants: known models of the run itself set them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from capbench.results import Evidence
from capbench.verdicts.tools import UNMEASURED, Tool


@dataclass(frozen=True, kw_only=True)
class OfTheRun(Tool):
    """A tool whose thresholds are set in every run. silent: why it may say nothing; '' if it may."""

    present: float = math.inf
    absent: float = -math.inf
    silent: str = "no known members"

    def reads(self, value: float | None, bound: str = "", *, spread: float | None = None) -> str:
        """What it says of a value; 'not measured' where it is silent."""
        return UNMEASURED if self.silent else super().reads(value, bound, spread=spread)


def told(tool: Tool, found: Evidence) -> Evidence:
    """What a tool says, with the thresholds of the run to three digits, or why there are none."""
    if not isinstance(tool, OfTheRun):
        return found
    said = (
        f"silent: {tool.silent}" if tool.silent else f"present from {tool.present:.3g}, absent up to {tool.absent:.3g}"
    )
    return replace(found, rule=said)
