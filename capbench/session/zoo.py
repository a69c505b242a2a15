"""In place of the tests: their base models are bundled with the package, or those that are bundled are checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Pretrain
from capbench.session import running
from capbench.session.models import Models, Tests
from capbench.zoo import bundle
from capbench.zoo.command import recorded
from capbench.zoo.manifest import FOLDER


def make_or_check_zoo(models: Models, tests: Tests, *, say: Callable[[str], None]) -> bool:
    """Make and bundle the tests' base models, or check those that are bundled; whether all is well.

    Those of the calibration are not among them. Raises CapbenchError for a model that cannot be made.
    """
    o = models.options
    folder = Path(o.zoo_dir or FOLDER)
    needed, wrong = models.steps(test for test in tests if test[0].study != "calibration")
    for why in wrong:
        raise CapbenchError(why)
    steps = [step for step in Plan(needed).steps.values() if isinstance(step, Pretrain)]
    if not steps:
        raise UsageError("--capbench-zoo: no test that was collected needs a pretrained model; name other tests")
    if o.zoo == "verify":
        from capbench.zoo.verify import shown, summary, verify

        findings = verify(folder, steps)
        for finding in findings:
            say(shown(finding))
        say(summary(folder, findings))
        return all(finding.mark == "ok" for finding in findings)
    for error in running.make(Plan(steps), models.store, at_once=o.at_once, say=say, bundled=False, ray=o.ray).values():
        raise CapbenchError(error)
    made = bundle.build(
        folder,
        steps,
        models.store,
        scale=o.scale,
        seeds=models.studies.seeds,
        extended=o.extended,
        command=recorded(
            o.selection, scale=o.scale, seeds=o.seeds, extended=o.extended, precision=o.precision, device=o.device
        ),
    )
    size, minutes = sum(e.size for e in made.models) / 1e6, sum(e.seconds for e in made.models) / 60
    say(f"capbench: wrote {len(made.models)} base models to {folder}: {size:.1f} MB, {minutes:.0f} min of training")
    return True
