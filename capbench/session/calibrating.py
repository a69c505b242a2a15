"""The setting half of the calibration pool: make its models, read them in several processes, and set the thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.outline import outline
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.results import Record, Results, Status
from capbench.session.making import make
from capbench.session.options.at_once import AtOnce
from capbench.session.reading_ahead import read_ahead
from capbench.store.store import Store
from capbench.studies.calibration.claims import of_kind
from capbench.studies.calibration.examining import TOOLS
from capbench.studies.calibration.kept import Kept, doubt, rule_now
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.outcome import Outcome
from capbench.studies.calibration.readings import known
from capbench.studies.calibration.study import CalibrationStudy, needs
from capbench.studies.calibration.thresholds import Setting
from capbench.studies.judge import Case, Claim, Judge
from capbench.studies.lab import Lab
from capbench.verdicts.tools import Tool
from capbench.zoo import bundle

ON_ARCHITECTURES = "architectures.calibration"


def planned(study: CalibrationStudy, seeds: Sequence[int], store: Store, at_once: AtOnce) -> str:
    """What the setting half needs, and what it costs."""
    return outline(_plan(study, seeds), store, jobs=at_once.jobs, stack=at_once.stack, bundled=bundle.keys())


def looked_at(
    study: CalibrationStudy, seeds: Sequence[int], store: Store, *, at_once: AtOnce, say: Callable[[str], None]
) -> Outcome:
    """Make what is missing, and read all of it. What an interrupted run made and read is not made again.

    Raises CapbenchError for a model that cannot be made.
    """
    for error in make(_plan(study, seeds), store, at_once=at_once, say=say).values():
        raise CapbenchError(error)
    lab = Lab(store)
    judges = list(_judges(study, seeds, lab))
    read_ahead([(judge, _measure) for judge in judges], store.root, jobs=at_once.jobs, bundled=False)
    for judge in judges:
        _measure(judge)
    return Outcome.read(m for judge in judges for m in judge.measurements)


def set_by(found: Sequence[Setting], *, scale: str, seeds: Sequence[int], before: Kept) -> Kept:
    """The thresholds that follow, with the hash of the rule in force. before: what they replace.

    The test half is its, unless that was looked at, to set these or to test others: then it is the next hundred of seeds.
    """
    tools: dict[str, dict[str, object]] = {}
    for each in found:
        if (thresholds := each.thresholds) is not None:
            tools.setdefault(each.group, {})[each.tool.name] = thresholds
    made = Kept(scale=scale, setting=tuple(seeds), test=before.test, rule=rule_now(), tools=tools)  # type: ignore[arg-type]
    looked_at = [*seeds, before.test] if before.tested and before.scale == scale and made.hash != before.hash else seeds
    return made if max(looked_at) < before.test else replace(made, test=(max(looked_at) // 100 + 1) * 100)


def tested_by(results: Results, before: Kept) -> Kept:
    """The thresholds with every tool's area on the test half, as a run of suites/calibration found them, and on the models of
    other architectures, as a run of suites/architectures did.

    An architecture whose models were judged wrongly has no areas. Where its claim is inconclusive, as ten models seldom decide
    what share is judged rightly, its areas are what they are: none of the models was called the other. Raises UsageError for a
    run of other models, or of another rule than the one in force.
    """
    scale = results.run.scale
    if why := doubt(before, scale, rule_now()):
        raise UsageError(f"this run tests nothing: {why}")
    half = [r for r in results.records if r.claim == "calibration.verdict"]
    elsewhere = [r for r in results.records if r.claim == ON_ARCHITECTURES]
    first = {record.protocol.get("first seed") for record in (*half, *elsewhere)}
    if first != {before.test}:
        raise UsageError(
            f"it has no claim calibration.verdict about the half from seed {before.test}, nor {ON_ARCHITECTURES}"
        )
    tested = {group: {tool: dict(areas) for tool, areas in of.items()} for group, of in before.tested.items()}

    def put(group: str, records: Sequence[Record], tools: Sequence[Tool], *, compiled: bool) -> None:
        outcome = Outcome.read(m for record in records for m in record.measurements)
        for tool in tools:
            tested.get(group, {}).get(tool.name, {}).pop(scale, None)
            if records and (found := outcome.area(tool.name, compiled=compiled)) is not None:
                tested.setdefault(group, {}).setdefault(tool.name, {})[scale] = round(found[0], 4)

    for group, tools in TOOLS.items() if half else ():
        put(group, half, tools, compiled=group == "compiled")
    for name in {_architecture(record) for record in elsewhere}:
        wrong = (Status.REFUTED, Status.INVALID)
        valid = [r for r in elsewhere if _architecture(r) == name and r.verdict.status not in wrong]
        put(name, valid, TOOLS["trained"], compiled=False)
    return replace(before, tested=tested)


def _architecture(record: Record) -> str:
    return str(record.protocol["architecture"])


def _plan(study: CalibrationStudy, seeds: Sequence[int]) -> Plan:
    return Plan([step for seed in seeds for step in needs(study, seed).values()])


def _judges(study: CalibrationStudy, seeds: Sequence[int], lab: Lab) -> Iterator[Judge]:
    """One for each kind and seed: so much is read in one process."""
    claim = Claim(id="calibrate", source="", needs=needs, study="calibration", uses_method=False)
    for kind in Kind:
        for seed in seeds:
            steps: Mapping[str, Step] = {n: s for n, s in needs(study, seed).items() if of_kind(n, kind)}
            yield Judge(
                claim=claim, case=Case(kind=str(kind)), nodeid="", method="", study=study, lab=lab, steps={seed: steps}
            )


def _measure(judge: Judge) -> None:
    judge.measure((known, list(next(iter(judge.steps.values())))))
