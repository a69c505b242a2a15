"""Export the models that collected tests need, for training elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capbench.checkpoints.export import Wanted, export, volume
from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune
from capbench.session.progress import bar
from capbench.session.run import CapbenchSession, Collected
from capbench.session.studies import Needed
from capbench.studies.judge import Case


def export_for(
    run: CapbenchSession, collected: Collected, folder: Path, *, data: str, say: Callable[[str], None]
) -> None:
    """Write the base models and data of the tests' fine-tunings to a folder. data: which streams.

    Raises UsageError if there is no fine-tuning, CapbenchError if a base model could not be made.
    """
    studies, wanted = run.studies, []
    for claim, case, method in collected.tests:
        name = f"{claim.id}[{case}]" if case and case.parameters else claim.id
        needed = studies.needed(claim, case or Case(), method) if method else Needed()
        if needed.blocked:
            raise CapbenchError(needed.blocked)
        for seed, by_name in needed.if_lost.items():  # what is lost will be known only after the training elsewhere
            wanted += [
                Wanted(step=step, serves=f"{name}, seed {seed}")
                for step in Plan(by_name.values()).steps.values()
                if isinstance(step, FineTune) and step.method == studies.method(method)
            ]
    if not wanted:
        raise UsageError("none of the collected tests needs a fine-tuned model; name other tests")
    for error in run.models.make(Plan(w.step.base for w in wanted), say=say).values():
        raise CapbenchError(error)
    strings, size = volume(wanted, data)
    say(f"capbench: writing data {data}: {strings} strings, {size / 1e6:.1f} MB")
    with bar(strings, unit="string") as progress:
        made = export(
            folder,
            wanted,
            run.models.store,
            scale=run.options.scale,
            seeds=studies.seeds,
            streams=data,
            progress=progress,
        )
    size = sum(file.size for file in made.files.values())
    say(
        f"capbench: wrote {folder}: {len(made.entries)} fine-tunings, {len({e.base for e in made.entries})} base models, "
        f"data {data}, {size / 1e6:.1f} MB; its README.txt says what to do next"
    )
