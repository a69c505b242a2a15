"""The claims of the calibration: what is measured, counted and decided over all seeds of a half. The numbers are the suite's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from capbench.results import Curve, Grid, Measurement, Status, Verdict
from capbench.studies.calibration.areas import Interval, pooled, roc
from capbench.studies.calibration.kept import doubt, kept, rule_now
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.outcome import Outcome
from capbench.studies.calibration.readings import known
from capbench.studies.given_interval import of_interval
from capbench.studies.judge import Judge

Called = tuple[Sequence[Kind], Sequence[str]]  # kinds, and the verdicts that none of them may get
_HOW = "bootstrap over seeds, then over models"


def measured(judge: Judge, kinds: Sequence[Kind], *, base: float) -> Outcome:
    """Look at all models of these kinds, trained and compiled. The rule in force must be the one whose thresholds were set.

    base: the least O_PT accuracy of any base model. It is also what a wrapped model has once its wrapper is off.
    """
    judge.require(not (why := doubt(kept(), judge.study.preset.name, rule_now())), why)
    given = list(next(iter(judge.steps.values())))
    for kind in kinds:  # kind by kind, so that claims share what was read
        judge.measure((known, [name for name in given if of_kind(name, kind)]))
    bases = {(m.name, m.seed): m.value for m in judge.measurements if m.name.startswith("base.")}
    for seed in judge.steps:
        lowest = min(value for (_, s), value in bases.items() if s == seed and value is not None)
        judge.control(f"O_PT accuracy of the weakest base model, seed {seed}", [lowest], low=base)
    return Outcome.read(judge.measurements)


def of_kind(name: str, kind: Kind) -> bool:
    """Whether a model, `<slot>/<role>`, belongs to a member of this kind."""
    return name.partition(".")[0].removeprefix("compiled ") == kind


def told_apart(outcome: Outcome, tool: str, *, compiled: bool, area: float) -> Verdict:
    """The condition that the tool ranks wrapped above deleted models: its area's whole interval is at least this.

    Those that were built against it are no part of the area; the reason lists them.
    """
    found = outcome.area(tool, compiled=compiled)
    against = "; ".join(j.explained() for j in outcome.against(tool, compiled=compiled))
    listed = f"built against it: {against}" if against else ""
    by_seed = outcome.sample(tool, compiled=compiled).values()
    sides = f"{sum(len(w) for w, _ in by_seed)} wrapped and {sum(len(d) for _, d in by_seed)} deleted models"
    return _decided(found, area, f"AUC of {tool}, {sides}", outcome, listed, none="it has values on one side only")


def right(outcome: Outcome, *, share: float) -> Verdict:
    """The condition that at least this share of all verdicts is right. The reason explains every one that is not."""
    errors = "; ".join(j.explained() for j in outcome.errors)
    return _decided(outcome.right, share, f"share of right verdicts, {len(outcome.judged)} models", outcome, errors)


def none_called(outcome: Outcome, *forbidden: Called) -> Verdict:
    """The condition that no model of these kinds got one of these verdicts. Counted, not tested."""
    found = [j for kinds, states in forbidden for j in outcome.called(kinds, states)]
    what = " or ".join(f"{'/'.join(kinds)} called {'/'.join(states)}" for kinds, states in forbidden)
    per_seed = [float(sum(j.seed == seed for j in found)) for seed in outcome.seeds]
    return Verdict(
        status=Status.REFUTED if found else Status.SUPPORTED,
        effect=float(len(found)),
        ci=None,
        threshold=0.0,
        direction="<=",
        margin=-float(len(found)),
        n_seeds=len(outcome.seeds),
        per_seed=tuple(per_seed),
        what=f"models {what}",
        reason="; ".join(j.explained() for j in found),
        how="counted",
        provisional=len(outcome.seeds) == 1,
    )


def pictures(outcome: Outcome, tools: Sequence[tuple[str, bool]]) -> Iterator[Measurement]:
    """The confusion matrix, and a ROC curve of each tool: (name, whether of compiled models)."""
    given: dict[str, Any] = {"value": None, "n": len(outcome.judged), "seed": outcome.seeds[0]}
    kinds = [kind for kind in Kind if outcome.called([kind], [k.verdict for k in Kind])]
    states = [str(kind.verdict) for kind in Kind]
    grid = Grid(
        values=tuple(tuple(float(outcome.confusion(kind)[state]) for state in states) for kind in kinds),
        rows=tuple(map(str, kinds)),
        columns=tuple(states),
        row_label="true state",
        column_label="verdict",
    )
    yield Measurement(name="confusion", unit="models", group="confusion", series="all tools", grid=grid, **given)
    for tool, compiled in tools:
        wrapped, deleted = pooled(outcome.sample(tool, compiled=compiled))
        if wrapped and deleted:
            x, y = zip(*roc(wrapped, deleted), strict=True)
            curve = Curve(
                x=x, y=y, x_label="share of deleted called present", y_label="share of wrapped called present"
            )
            series = f"{tool}, compiled models" if compiled else tool
            yield Measurement(name="roc", unit="", group="calibration", series=series, curve=curve, **given)


def _decided(
    found: tuple[float, Interval] | None, least: float, what: str, outcome: Outcome, reason: str, *, none: str = ""
) -> Verdict:
    n = len(outcome.seeds)
    return of_interval(found, least, what, how=_HOW, seeds=n, provisional=n == 1, reason=reason, none=none)
