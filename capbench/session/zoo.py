"""The base models of collected tests: bundle them, check the bundled ones, or give those new keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Pretrain
from capbench.session.making import make
from capbench.session.options.cache import opened
from capbench.session.run import CapbenchSession, Collected
from capbench.store.store import beside
from capbench.zoo import bundle
from capbench.zoo.command import Selection, recorded


def build(
    run: CapbenchSession, collected: Collected, folder: Path, *, selection: Selection, say: Callable[[str], None]
) -> None:
    """Make the tests' base models and bundle them. selection: how the tests were chosen.

    Raises CapbenchError for a model that cannot be made, UsageError if there is none.
    """
    o, store = run.options, run.models.store
    steps = base_models(run, collected)
    for error in make(Plan(steps), store, at_once=o.at_once, say=say, bundled=False).values():
        raise CapbenchError(error)
    made = bundle.build(
        folder,
        steps,
        store,
        scale=o.scale,
        seeds=run.studies.seeds,
        extended=o.extended,
        command=recorded(
            selection, scale=o.scale, seeds=o.seeds, extended=o.extended, precision=o.precision, device=o.device
        ),
    )
    size, minutes = sum(e.size for e in made.models) / 1e6, sum(e.seconds for e in made.models) / 60
    say(f"capbench: wrote {len(made.models)} base models to {folder}: {size:.1f} MB, {minutes:.0f} min of training")


def verify(run: CapbenchSession, collected: Collected, folder: Path, *, say: Callable[[str], None]) -> bool:
    """Check the models in the folder, and that they are the ones the tests need. Returns whether all are ok."""
    from capbench.zoo.verify import shown, summary, verify

    findings = verify(folder, base_models(run, collected))
    for finding in findings:
        say(shown(finding))
    say(summary(folder, findings))
    return all(finding.mark == "ok" for finding in findings)


def rekey(run: CapbenchSession, collected: Collected, folder: Path, *, say: Callable[[str], None]) -> None:
    """Train the bundled models whose code changed again, and give them new keys if the bits are the same.

    Raises CapbenchError, and changes nothing, if one differs or cannot be made.
    """
    from capbench.zoo.rekey import outdated, rekey

    steps = base_models(run, collected)
    old = outdated(folder, steps)
    store = opened(
        beside(run.options.root, "retrained"), run.options.cache_shown
    )  # holds no model taken from the package
    for error in make(Plan(old.values()), store, at_once=run.options.at_once, say=say, bundled=False).values():
        raise CapbenchError(error)
    made = rekey(folder, steps, store)
    say(f"capbench: {len(old)} of {len(made.models)} base models in {folder} have new keys and the same bits")


def base_models(run: CapbenchSession, collected: Collected) -> list[Pretrain]:
    """The base models that the tests need, without those of the calibration. Raises UsageError if there is none."""
    needed, wrong = run.models.steps(test for test in collected.tests if test[0].study != "calibration")
    for why in wrong:
        raise CapbenchError(why)
    steps = [step for step in Plan(needed).steps.values() if isinstance(step, Pretrain)]
    if not steps:
        raise UsageError("none of the collected tests needs a pretrained model; name other tests")
    return steps
