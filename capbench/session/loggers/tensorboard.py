"""TensorBoard: a run for each model with its curves, and one for the verdicts. Needs the extra `tensorboard`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from capbench.report.markdown import summary
from capbench.report.words import line, why
from capbench.results import Results
from capbench.session.loggers.base import Points

VERDICTS = "verdicts"  # the run with the claims and the verdicts
MOST = 8  # writers that are open


class TensorBoard:
    """Writes below a folder: <model>/ has its curves by name, so that those of all models lie over each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Any] = {}  # writers by run, the one used last at the end

    def curve(self, model: str, name: str, points: Points) -> None:
        """The new points; on the disk when this returns."""
        writer = self._writer(re.sub(r"[^\w.=()+-]+", "_", model))
        for step, value in points:
            writer.add_scalar(name, value, step)
        writer.flush()

    def end(self, results: Results) -> None:
        """Each claim's margin and effect as numbers, its status with the reason and each model's verdict as text."""
        writer = self._writer(VERDICTS)
        writer.add_text("summary", summary(results))
        for record in results.records:
            verdict, name = record.verdict, f"{record.id} {record.method}".strip()
            writer.add_text(f"claim/{name}", f"{verdict.status}: {line(why(verdict)) or line(record.statement)}")
            for what, value in (("margin", verdict.margin), ("effect", verdict.effect)):
                if value is not None:
                    writer.add_scalar(f"{what}/{name}", value)
        for found in results.capabilities:
            writer.add_text(f"verdict/{found.id} {found.method}", f"{found.verdict}: {line(found.reason)}")
        while self._open:
            self._open.popitem()[1].close()

    def _writer(self, name: str) -> Any:
        """Few stay open, as each has a file and a thread, and a run makes hundreds of models."""
        from torch.utils.tensorboard import SummaryWriter

        self._open[name] = self._open.pop(name, None) or SummaryWriter(str(self._folder / name))
        if len(self._open) > MOST:
            self._open.pop(next(iter(self._open))).close()
        return self._open[name]
