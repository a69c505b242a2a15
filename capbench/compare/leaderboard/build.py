"""The leaderboard of some runs: one standing per method, from its newest run, and what keeps them from being compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from capbench.compare.folders import started
from capbench.compare.leaderboard.cases import cases
from capbench.compare.leaderboard.standings import Case, Cost, Leaderboard, Standing
from capbench.compare.leaderboard.summary import score
from capbench.errors import UsageError
from capbench.report.words import methods
from capbench.results import CapabilityState, CollateralState, FinetunedState, Results
from capbench.verdicts.tools import BEHAVIOUR

Judged = Mapping[str, Mapping[str, Case]]  # method -> name of a case -> the case


def leaderboard(runs: Sequence[Results]) -> Leaderboard:
    """One standing per method, from its newest run. UsageError for runs of several scales, or none."""
    if not runs:
        raise UsageError("no runs to show; give run folders or directories of runs")
    by_scale: dict[str, list[str]] = {}
    for run in runs:
        by_scale.setdefault(run.run.scale, []).append(run.run.run_id)
    if len(by_scale) > 1:
        named = "; ".join(f"{scale}: {', '.join(ids)}" for scale, ids in sorted(by_scale.items()))
        raise UsageError(f"runs of different scales are never compared ({named}); give runs of one scale")
    newest, notes = _newest(runs)
    judged = {name: {case.name: case for case in cases(newest[name], name)} for name in sorted(newest)}
    shared = set.intersection(*(set(found) for found in judged.values())) if judged else set()
    costed = {name for name in shared if all(found[name].cost.steps is not None for found in judged.values())}
    spared = {name for name in shared if all(found[name].spared for found in judged.values())}
    standings = tuple(
        _standing(name, newest[name].run.run_id, found, shared=shared, costed=costed, spared=spared)
        for name, found in judged.items()
    )
    notes += _unlike(newest, judged, shared)
    return Leaderboard(scale=runs[0].run.scale, shared=len(shared), standings=standings, notes=tuple(notes))


def _newest(runs: Sequence[Results]) -> tuple[dict[str, Results], list[str]]:
    """The newest run of each method, and in words the runs that are left out for it."""
    newest: dict[str, Results] = {}
    notes = []
    for run in sorted({r.run.run_id: r for r in runs}.values(), key=lambda r: (started(r), r.run.run_id)):
        for name in methods(run):
            if name in newest:
                notes.append(_omitted(name, newest[name], run))
            newest[name] = run
    return newest, notes


def _omitted(method: str, old: Results, new: Results) -> str:
    note = f"{method}: run {old.run.run_id} is omitted, as {new.run.run_id} is newer"
    before, after = (_made(run, method) for run in (old, new))
    if any(before[key] != after[key] for key in before.keys() & after.keys()):
        note += "; they made different models, as code, settings or weights differ"
    return note


def _made(run: Results, method: str) -> dict[tuple[str, str, str, str], str]:
    """The keys of the models that a run made by a method, by claim, model, task and role."""
    mine = [r for r in run.records if r.method == method]
    return {(r.id, r.model, r.task, role): key for r in mine for role, key in r.artefacts.items()}


def _standing(
    method: str,
    run_id: str,
    found: Mapping[str, Case],
    *,
    shared: Iterable[str],
    costed: Iterable[str],
    spared: Iterable[str],
) -> Standing:
    common = {name: found[name] for name in sorted(shared)}
    behaviour = {
        name: case.tools[BEHAVIOUR].per_seed if BEHAVIOUR in case.tools else {} for name, case in common.items()
    }
    return Standing(
        method=method,
        run_id=run_id,
        models=len(found),
        verdicts=_counts(CapabilityState, (c.state for c in found.values())),
        finetuned=_counts(FinetunedState, (c.finetuned for c in found.values())),
        collateral=_counts(CollateralState, (c.collateral for c in found.values())),
        accuracy=score(behaviour),
        learned=score({name: case.learned for name, case in common.items()}),
        hidden=score({name: _in(case, CapabilityState.WRAPPED) for name, case in common.items()}),
        deleted=score({name: _in(case, CapabilityState.DELETED) for name, case in common.items()}),
        spared=score({name: found[name].spared for name in sorted(spared)}),
        cost=_cost([found[name].cost for name in sorted(costed)]),
        cases=tuple(found.values()),
    )


def _in(case: Case, state: CapabilityState) -> dict[int, float]:
    """1 for a seed on which the capability is in this state, 0 for another, none if undecided."""
    decided = {seed: found for seed, found in case.states.items() if found is not CapabilityState.UNDECIDED}
    return {seed: float(found is state) for seed, found in decided.items()}


def _cost(costs: Sequence[Cost]) -> Cost:
    """The sums; None where a model's is not known."""

    def total(what: Callable[[Cost], float | None]) -> float | None:
        known = [value for cost in costs if (value := what(cost)) is not None]
        return sum(known) if known and len(known) == len(costs) else None

    return Cost(steps=total(lambda c: c.steps), tokens=total(lambda c: c.tokens), seconds=total(lambda c: c.seconds))


def _counts(states: Iterable[str], found: Iterable[str | None]) -> dict[str, int]:
    known = list(found)
    return {str(state): known.count(state) for state in states}


def _unlike(newest: Mapping[str, Results], judged: Judged, shared: set[str]) -> list[str]:
    """What the figures of the methods rest on, where it is not the same for all."""
    notes = []
    if len({frozenset(found) for found in judged.values()}) > 1:
        notes.append(
            f"not all methods were judged on the same models ({len(shared)} are in all): counts are of each method's own, "
            "accuracy, deleted and cost of those that all share"
        )
    different: tuple[tuple[str, Callable[[Results], object]], ...] = (
        ("seeds", lambda r: r.run.seeds),
        ("versions of capbench", lambda r: r.run.capbench),
    )
    for what, fact in different:
        if len({fact(run) for run in newest.values()}) > 1:
            notes.append(f"not all methods were run with the same {what}")
    alone = [name for name, found in judged.items() if any(case.provisional for case in found.values())]
    if alone:
        notes.append(f"provisional, from one seed: {', '.join(alone)}")
    return notes
