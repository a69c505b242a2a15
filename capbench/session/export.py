"""In place of the tests: the folder for a training elsewhere is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capbench.checkpoints.export import Wanted, export, volume
from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune
from capbench.session import running
from capbench.session.models import Models, Tests
from capbench.studies.judge import Case


def export_for(models: Models, tests: Tests, *, say: Callable[[str], None]) -> None:
    """Write the folder for a training elsewhere: what the tests' fine-tunings by the method under test start from.

    Raises UsageError where there is no such fine-tuning, CapbenchError where a base model could not be made.
    """
    o, studies, wanted = models.options, models.studies, []
    for claim, case, method in tests:
        name = f"{claim.id}[{case}]" if case and case.parameters else claim.id
        needed, blocked = studies.needed(claim, case or Case(), method) if method else ({}, "")
        if blocked:
            raise CapbenchError(blocked)
        for seed, by_name in needed.items():
            wanted += [
                Wanted(step=step, serves=f"{name}, seed {seed}")
                for step in Plan(by_name.values()).steps.values()
                if isinstance(step, FineTune) and step.method == studies.method(method)
            ]
    if not wanted:
        raise UsageError("--capbench-export: no test that was collected needs a fine-tuned model; name other tests")
    for error in models.make(Plan(w.step.base for w in wanted), say=say).values():
        raise CapbenchError(error)
    folder = Path(o.export or "")
    strings, size = volume(wanted, o.export_data)
    say(f"capbench: writing data {o.export_data}: {strings} strings, {size / 1e6:.1f} MB")
    with running.bar(strings, unit="string") as progress:
        made = export(
            folder,
            wanted,
            models.store,
            scale=o.scale,
            seeds=studies.seeds,
            streams=o.export_data,
            progress=progress,
        )
    size = sum(file.size for file in made.files.values())
    say(
        f"capbench: wrote {folder}: {len(made.entries)} fine-tunings, {len({e.base for e in made.entries})} base models, "
        f"data {o.export_data}, {size / 1e6:.1f} MB; its README.txt says how to go on"
    )
