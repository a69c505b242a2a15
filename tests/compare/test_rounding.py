"""What rounding does is measured on runs, kept as data, and by it two runs that differ in rounding only raise no alarm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from runs_example import claim, run, verdict

from capbench.compare.changes import change
from capbench.compare.gate import Gate
from capbench.compare.noise import noise
from capbench.compare.rows import Outcome
from capbench.compare.runs import compare
from capbench.errors import UsageError
from capbench.report.write import load
from capbench.results import Capability, Record, Results, Status
from capbench.verdicts.rounding import ANY, MOST, Rounding, rounding

SEEDS = 3
REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
KINDS = {
    "accuracy": "an accuracy",
    "difference": "gained",
    "ratio": "a ratio",
    "retention": "retention",
    ANY: "a thing",
}


ONE = claim("a.b", (1.0,) * SEEDS)


def measured(name: str, values: tuple[float, ...], what: str) -> Record:
    """A claim that is supported, whatever these values are."""
    verdict = dataclasses.replace(ONE.verdict, per_seed=values, what=what, n_seeds=len(values))
    return dataclasses.replace(ONE, claim=name, verdict=verdict, seeds=tuple(range(len(values))))


def drawn(random: np.random.Generator, kind: str, *, shift: float = 0.0) -> tuple[list[float], list[float]]:
    """One condition in two runs that share all but rounding, with the share of rounding that is kept as data.

    How far seeds differ is drawn anew for each condition, over two orders of magnitude. shift: of B, in rounding's deviations.
    """
    spread = math.exp(random.uniform(math.log(0.003), math.log(0.3))) if kind != "ratio" else random.uniform(0.2, 0.8)
    share = min(rounding(kind).share, MOST)
    common = random.normal(0.0, spread * math.sqrt(1 - share), SEEDS)
    a, b = (common + random.normal(0.0, spread * math.sqrt(share), SEEDS) for _ in range(2))
    b -= shift * spread * math.sqrt(2 * share)
    scale = np.exp if kind == "ratio" else np.asarray
    return list(map(float, scale(a))), list(map(float, scale(b)))


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_alone_moves_few_figures_beyond_its_noise_and_more_moves_most(kind: str) -> None:
    random = np.random.default_rng(0)

    def found(times: int, shift: float) -> float:
        rows = (drawn(random, kind, shift=shift) for _ in range(times))
        return sum(change(kind, dict(enumerate(a)), dict(enumerate(b))).beyond < 0 for a, b in rows) / times

    assert found(500, 0.0) <= 0.03
    assert found(100, 6.0) >= 0.7


def test_two_runs_that_differ_in_rounding_raise_few_alarms_though_their_statuses_differ() -> None:
    """Worst case for the gate: every claim lies at its threshold, so that its status is a matter of chance."""
    random = np.random.default_rng(1)

    def records() -> Iterator[tuple[Record, Record]]:
        for i in range(400):
            kind = sorted(KINDS)[i % len(KINDS)]
            yield tuple(decided(f"c{i}", values, KINDS[kind]) for values in drawn(random, kind))  # type: ignore[misc]

    statuses = [Status.SUPPORTED, Status.INCONCLUSIVE, Status.REFUTED]

    def decided(name: str, values: list[float], what: str) -> Record:
        known = measured(name, tuple(values), what)
        return dataclasses.replace(
            known, verdict=dataclasses.replace(known.verdict, status=statuses[random.integers(3)])
        )

    a, b = zip(*records(), strict=True)
    for form in ("verdict", "margin:0", "margin:-0.05"):
        alarms = Gate.parse("--fail-on", [form]).found(compare(run(*a), run(*b)))
        assert len(alarms) <= 0.05 * len(a), form


def test_verdicts_that_rounding_changed_raise_few_alarms() -> None:
    """Readings around two thresholds: many verdicts change, and few of these changes are more than rounding."""
    random = np.random.default_rng(3)

    def judged(i: int, values: list[float]) -> Capability:
        state = "wrapped" if min(values) >= 0.6 else "deleted" if max(values) <= 0.4 else "undecided"
        known = verdict(state, "shortcut", probing=0.5)
        probing = dataclasses.replace(known.evidence[0], unit="retention", per_seed=dict(enumerate(values)))
        return dataclasses.replace(known, task=f"t{i}", evidence=(probing,))

    pairs = []
    for i in range(600):
        place = random.uniform(0.3, 0.7)
        pairs.append([judged(i, [place + value for value in values]) for values in drawn(random, "retention")])
    a, b = zip(*pairs, strict=True)
    changed = [before.verdict is not after.verdict for before, after in pairs]
    assert sum(changed) > 40  # or the next line would say nothing
    assert len(Gate.parse("--fail-on", None).found(compare(run(*a), run(*b)))) <= 0.05 * sum(changed)


# ---- how it is measured


def figures(kind: str, a: tuple[float, ...], b: tuple[float, ...], name: str = "a.b") -> tuple[Results, Results]:
    return run(measured(name, a, KINDS[kind])), run(measured(name, b, KINDS[kind]))


def test_the_noise_of_one_figure_worked_by_hand() -> None:
    """Differences -.2 and .2: mean square .04, half of it per run: .02. Seeds differ
    by .5 in A (variance .125), .9 in B (.405).
    """
    found = noise([figures("accuracy", (0.0, 0.5), (-0.2, 0.7))])
    assert found["accuracy"] == pytest.approx({"share": 0.02 / 0.265, "variance": 0.02, "df": 0.0, "conditions": 1})
    assert found[ANY]["share"] == pytest.approx(0.02 / 0.265)
    logs = noise([figures("ratio", (1.0, math.exp(0.5)), (math.exp(-0.2), math.exp(0.7)))])
    assert logs["ratio"]["variance"] == pytest.approx(0.02)


def test_what_rounding_did_not_move_says_nothing_and_one_figure_in_two_claims_counts_once() -> None:
    same, moved = figures("accuracy", (1.0, 1.0), (1.0, 1.0)), figures("accuracy", (0.0, 0.5), (0.1, 0.5), "a.c")
    again = figures("accuracy", (0.0, 0.5), (0.1, 0.5), "a.d")
    both = [
        dataclasses.replace(one, records=one.records + two.records + three.records)
        for one, two, three in zip(same, moved, again, strict=True)
    ]
    assert noise([(both[0], both[1])])["accuracy"]["conditions"] == 1
    with pytest.raises(UsageError, match="nothing differs"):
        noise([same])


def test_planted_noise_is_found_again() -> None:
    """200 figures with .5 of the variance between seeds from rounding, of the same size everywhere: many degrees of freedom."""
    random = np.random.default_rng(2)
    pairs = []
    for i in range(200):
        common = random.normal(0, 0.05, SEEDS)
        a, b = (tuple(map(float, common + random.normal(0, 0.05, SEEDS))) for _ in range(2))
        pairs.append(figures("accuracy", a, b, f"c{i}"))
    found = noise(pairs)["accuracy"]
    assert found["share"] == pytest.approx(0.5, rel=0.15)
    assert found["variance"] == pytest.approx(0.05**2, rel=0.15) and found["df"] > 20


def test_a_condition_s_own_seeds_and_the_kind_s_rounding_are_weighed_by_their_degrees_of_freedom() -> None:
    kind = Rounding(kind="x", share=0.5, variance=0.1, df=2.0, conditions=9)
    assert kind.of(0.4, 4.0) == (pytest.approx((2 * 0.1 + 4 * 0.2) / 6), 6.0)
    more = dataclasses.replace(kind, share=1.5)  # measured by chance: rounding is part of what differs between seeds
    assert more.of(0.4, 4.0)[0] == pytest.approx((2 * 0.1 + 4 * 0.4) / 6)


# ---- reports of older schemas


def test_kept_reports_of_old_schemas_load_and_compare() -> None:
    """Schemas 9 and 2, three seeds of one method; schema 3, one seed of two methods."""
    core, extended = load(REFERENCE / "small-core"), load(REFERENCE / "small-full")
    itself = compare(core, core)
    assert {row.outcome for row in itself.moved_claims} <= {Outcome.NOT_COMPARABLE} and not itself.moved_verdicts
    rows = [row for row in compare(core, extended).claims if row.ci is not None]
    assert len(rows) >= 10 and all(row.noise is not None and not row.provisional for row in rows)
    npo, full = load(REFERENCE / "methods" / "npo"), load(REFERENCE / "methods" / "full")
    found = compare(full, npo)
    assert found.moved_claims and Gate.parse("--fail-on", ["verdict", "margin:0"]).found(found) == ()
