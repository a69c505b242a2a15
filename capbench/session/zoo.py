"""The base models of collected tests, and what these measure whatever the method is: bundle it, check it, give it new keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune, Pretrain, Step
from capbench.session.asked import Measured, measured
from capbench.session.making import make
from capbench.session.progress import bar
from capbench.session.run import CapbenchSession, Collected
from capbench.store.store import Store
from capbench.studies.calibration import factory
from capbench.studies.lab import Lab
from capbench.zoo import bundle
from capbench.zoo.alike import Bundled, by_default
from capbench.zoo.command import Selection, recorded
from capbench.zoo.manifest import read
from capbench.zoo.records import Shelf

if TYPE_CHECKING:
    from capbench.zoo.trace import Trace


def build(
    run: CapbenchSession, collected: Collected, folder: Path, *, selection: Selection, say: Callable[[str], None]
) -> None:
    """Make the tests' base models, measure what no method has a part in, and bundle both. selection: how the tests were chosen.

    Raises CapbenchError for what cannot be made, UsageError if there is no base model.
    """
    o, store = run.options, run.models.store
    steps, more = bundled_models(run, collected), measured(run, collected)
    _make(run, [*steps, *more.steps], store, say=say)
    _read(more, store, say=say)
    made = bundle.build(
        folder,
        steps,
        store,
        scale=o.scale,
        seeds=run.studies.seeds,
        extended=o.extended,
        pool=o.pool,
        command=recorded(
            selection,
            scale=o.scale,
            seeds=o.seeds,
            extended=o.extended,
            pool=o.pool,
            precision=o.precision,
            device=o.device,
        ),
        records=more.wanted,
    )
    size, minutes = sum(e.size for e in made.models) / 1e6, sum(e.seconds for e in made.models) / 60
    tuned = sum(map(by_default, steps))
    also = f" and {tuned} fine-tuned compiled models" if tuned else ""
    n = len(made.models) - tuned
    say(f"capbench: wrote {n} models{also} to {folder}: {size:.1f} MB, {minutes:.0f} min of training")
    if made.records is not None:
        say(f"capbench: with {made.records}: {made.records.size / 1000:.1f} kB")


def verify(
    run: CapbenchSession, collected: Collected, folder: Path, *, part: bool = False, say: Callable[[str], None]
) -> bool:
    """Check what is in the folder, and that it is what the tests need. Returns whether all is in order.

    part: the tests were chosen by -k or -m, so that others may need what these do not.
    """
    from capbench.zoo.verify import in_order, shown, summary, verify

    steps, manifest = bundled_models(run, collected), read(folder)
    records = [] if manifest is None or manifest.records is None else measured(run, collected).wanted
    findings = verify(folder, steps, records)
    for finding in findings:
        say(shown(finding))
    say(summary(folder, findings, part=part))
    return in_order(findings, part=part)


def trace(run: CapbenchSession, collected: Collected, file: Path, *, say: Callable[[str], None]) -> None:
    """Write what short trainings of the tests' base models give. Raises CapbenchError if one cannot be made."""
    found = _traced(run, bundled_models(run, collected), say=say)
    found.write("--bits", file)
    say(f"capbench: wrote what {found.steps} steps of {len(found.digests)} models give to {file}")


def rekey(
    run: CapbenchSession, collected: Collected, folder: Path, before: Path | None, *, say: Callable[[str], None]
) -> None:
    """Give the bundled models whose code changed new keys, if it trains them as the code did that wrote the trace `before`.

    before: may be None where no model's code changed. Raises CapbenchError, and changes nothing, if it does not, or if one cannot
    be made. Curves and readings, if there are any bundled, are then made anew of the bundled models.
    """
    from capbench.zoo.rekey import measured_anew, outdated, rekey
    from capbench.zoo.trace import Trace

    steps = bundled_models(run, collected)
    old, bundled = outdated(folder, steps), read(folder)
    if old and before is None:
        raise UsageError(
            f"{len(old)} models are of other code: give --bits=FILE, what `capbench zoo trace` wrote by it"
        )
    now = _traced(run, old.values(), say=say)
    made = rekey(folder, steps, before=now if before is None else Trace.read("--bits", before), now=now)
    say(f"capbench: {len(old)} of {len(made.models)} models in {folder} have new keys")
    if bundled is None or bundled.records is None:
        return
    more, cache = measured(run, collected), run.models.store
    bundle.fill(cache, Plan(more.steps).missing(cache), folder)
    _make(run, more.steps, cache, say=say)
    _read(more, cache, say=say, bundled=Shelf(folder))
    made = measured_anew(folder, more.wanted, cache)
    say(f"capbench: {made.records or 'no curves or readings'} beside them, as the code is now")


def _traced(run: CapbenchSession, steps: Iterable[Bundled], *, say: Callable[[str], None]) -> Trace:
    from capbench.zoo.trace import Trace, short

    wanted = list(steps)
    _make(run, map(short, wanted), run.models.store, say=say)
    return Trace.of(wanted, run.models.store)


def bundled_models(run: CapbenchSession, collected: Collected) -> list[Bundled]:
    """The base models that the tests need, compiled models after the default method, and, where they are asked for, the pool's.

    Raises UsageError if there is none.
    """
    tests = [test for test in collected.tests if test[0].study != "calibration"]
    needed, wrong = run.models.steps(tests, if_lost=True)
    for why in wrong:
        raise CapbenchError(why)
    if run.options.pool:
        needed += factory.bases(scale=run.options.scale, device=run.options.device, precision=run.options.precision)
    every = Plan(needed).steps.values()
    steps: list[Bundled] = [step for step in every if isinstance(step, Pretrain)]
    if steps:
        steps += [step for step in every if isinstance(step, FineTune) and by_default(step)]
    if not steps:
        raise UsageError("none of the collected tests needs a pretrained model; name other tests")
    return steps


def _make(run: CapbenchSession, steps: Iterable[Step], store: Store, *, say: Callable[[str], None]) -> None:
    """Without the package's. Raises CapbenchError for the first that cannot be made."""
    for error in make(Plan(steps), store, at_once=run.options.at_once, say=say, bundled=False).values():
        raise CapbenchError(error)


def _read(more: Measured, store: Store, *, say: Callable[[str], None], bundled: Shelf | None = None) -> None:
    absent = [asked for asked in more.readings if not store.has(asked.wanted.entry.key)]
    if absent:
        say(f"capbench: {len(absent)} of {len(more.readings)} readings to make")
    lab = Lab(store) if bundled is None else Lab(store, bundled=bundled)
    with bar(len(absent), unit="reading") as progress:
        for asked in absent:
            asked.carry_out(lab)
            progress(1)
