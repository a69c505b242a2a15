"""One case of a method: which seeds lost the behaviour, and what each tool measured on these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from capbench.compare.leaderboard.standings import Case, Cell, Cost
from capbench.compare.pairing import mean
from capbench.compare.quantities import measured
from capbench.compare.verdict_rows import FINETUNED
from capbench.results import Capability, CapabilityState, Collateral, Evidence, Record, Results
from capbench.verdicts.effects import Effect
from capbench.verdicts.statistics import estimate
from capbench.verdicts.tools import BEHAVIOUR, KEPT

COLLATERAL = "collateral"  # the name of its column, beside those of the tools
_COSTS = {"steps": "finetuning.steps", "tokens": "finetuning.tokens", "seconds": "finetuning.seconds"}


def cases(run: Results, method: str) -> tuple[Case, ...]:
    """Every model on which the run judged this method, by name."""
    records = [r for r in run.records if r.method == method]
    found = [_case(c, records, run) for c in run.capabilities if c.method == method]
    return tuple(sorted(found, key=lambda case: case.name))


def _case(judged: Capability, records: Iterable[Record], run: Results) -> Case:
    tools = {e.tool: e for e in judged.evidence}
    states = judged.per_seed or ({run.run.seeds[0]: judged.verdict} if len(run.run.seeds) == 1 else {})
    behaviour = tools.get(BEHAVIOUR)
    seeds = sorted({*states, *(behaviour.per_seed if behaviour else ())}) or sorted(run.run.seeds)
    lost = tuple(seed for seed in seeds if _lost(seed, states, behaviour))
    scale = run.run.scale
    mine = [r for r in records if (r.model, r.task, r.protocol) == (judged.model, judged.task, judged.protocol)]
    cells = {name: _cell(e, seeds if name == BEHAVIOUR else lost, scale) for name, e in sorted(tools.items())}
    if judged.collateral is not None:
        cells[COLLATERAL] = _collateral(judged.collateral, scale)
    return Case(
        model=judged.model,
        id=judged.id,
        state=judged.verdict,
        finetuned=judged.finetuned,
        collateral=judged.collateral.state if judged.collateral else None,
        states=dict(states),
        lost=lost,
        provisional=judged.provisional or len(seeds) == 1,
        tools=cells,
        cost=_cost(mine),
        learned=_by_seed(mine, learned_by(judged.protocol)),
        spared=_known(judged.collateral.per_seed if judged.collateral else {}),
    )


def learned_by(protocol: Mapping[str, object]) -> str:
    """The accuracy that tells whether fine-tuning reached what it trained for: on strings like those of training."""
    share = protocol.get("c_tr")
    return FINETUNED[1] if not isinstance(share, (int, float)) or share >= 0.5 else FINETUNED[0]


def _lost(seed: int, states: Mapping[int, CapabilityState], behaviour: Evidence | None) -> bool:
    """Whether the behaviour is not what it was; by the seed's state, else by its accuracy, else by the mean (old runs)."""
    if seed in states:
        return states[seed] is not CapabilityState.INTACT
    value = (behaviour.per_seed.get(seed) if behaviour.per_seed else behaviour.value) if behaviour else None
    return value is None or value < KEPT


def _cell(evidence: Evidence, seeds: Sequence[int], scale: str) -> Cell:
    if not evidence.per_seed:  # a run that holds means only
        value = evidence.value if seeds else None
        return Cell(value=value, ci=None, unit=evidence.unit, per_seed={}, missing=len(seeds) if value is None else 0)
    return _over(measured(evidence), seeds, evidence.unit, scale)


def _collateral(found: Collateral, scale: str) -> Cell:
    if found.per_seed:
        return _over(found.per_seed, sorted(found.per_seed), "share", scale)
    return Cell(value=found.value, ci=None, unit="share", per_seed={}, missing=0)


def _over(per_seed: Mapping[int, float | None], seeds: Sequence[int], unit: str, scale: str) -> Cell:
    known = {seed: value for seed in seeds if (value := per_seed.get(seed)) is not None}
    found = estimate(Effect(known.values(), kind=unit, scale=scale))
    value, ci = (mean(known.values()), None) if found is None else (found.value, found.interval())
    return Cell(value=value, ci=ci, unit=unit, per_seed=known, missing=len(seeds) - len(known))


def _cost(mine: Sequence[Record]) -> Cost:
    """Means over seeds."""
    return Cost(**{what: mean(_by_seed(mine, name).values()) for what, name in _COSTS.items()})


def _by_seed(mine: Iterable[Record], name: str) -> dict[int, float]:
    """A measurement of the records of one model, by seed; one that several tests made counts once."""
    return _known({m.seed: m.value for r in mine for m in r.measurements if m.name == name and m.is_number})


def _known(by_seed: Mapping[int, float | None]) -> dict[int, float]:
    return {seed: value for seed, value in by_seed.items() if value is not None}
