"""Two runs compared: only what both have is set side by side, seed by seed; differences in set-up are listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capbench.compare.claim_rows import claim_row
from capbench.compare.pairing import paired
from capbench.compare.rows import ClaimRow, Comparison, Difference, Outcome, VerdictRow
from capbench.compare.verdict_rows import verdict_row
from capbench.errors import UsageError
from capbench.report.words import DASH, methods
from capbench.results import Results, RunInfo


@dataclass(frozen=True)
class _Methods:
    """The name by which a method is paired: none, if each run has one method."""

    anonymous: bool

    def key(self, method: str) -> str:
        return "the method" if self.anonymous and method else method


def compare(a: Results, b: Results) -> Comparison:
    """Run A, the older one, beside run B. UsageError if their scales differ: those are never compared."""
    if a.run.scale != b.run.scale:
        raise UsageError(
            f"run '{a.run.run_id}' has scale {a.run.scale}, run '{b.run.run_id}' scale {b.run.scale}; "
            "scales are never compared; give two runs of one scale"
        )
    names = _Methods(len(methods(a)) <= 1 and len(methods(b)) <= 1)
    claims = tuple(
        claim_row(left, right)
        for left, right in paired(
            a.records,
            b.records,
            key=lambda r: (r.id, r.model, r.task, names.key(r.method)),
            order=lambda r: repr((r.nodeid, r.verdict)),
        )
    )
    verdicts = tuple(
        verdict_row(left, right, a.records, b.records)
        for left, right in paired(
            a.capabilities,
            b.capabilities,
            key=lambda c: (c.id, c.model, names.key(c.method)),
            order=lambda c: repr((sorted(c.protocol.items()), c.verdict, c.evidence)),
        )
    )
    setup = (*_setup(a, b), *_thresholds(claims), *_cases(claims, verdicts))
    return Comparison(a=a.run, b=b.run, setup=setup, notes=_notes(a, b), claims=claims, verdicts=verdicts)


def _setup(a: Results, b: Results) -> list[Difference]:
    facts = [
        ("method", _listed(methods(a) or a.run.methods), _listed(methods(b) or b.run.methods)),
        *((name, left, right) for (name, left), (_, right) in zip(_facts(a.run), _facts(b.run), strict=True)),
    ]
    return [Difference(what=name, a=left, b=right) for name, left, right in facts if left != right]


def _facts(run: RunInfo) -> list[tuple[str, str]]:
    return [
        ("seeds", _listed(map(str, sorted(run.seeds)))),
        ("capbench", run.capbench),
        ("git commit", run.git_commit or DASH),
        ("Python", run.python),
        ("torch", run.torch or DASH),
        ("device", run.device),
    ]


def _thresholds(claims: Sequence[ClaimRow]) -> list[Difference]:
    both = [row for row in claims if row.threshold_a is not None and row.threshold_b is not None]
    return [
        Difference(what=f"threshold of {row.id}", a=f"{row.threshold_a:g}", b=f"{row.threshold_b:g}")
        for row in both
        if row.threshold_a != row.threshold_b
    ]


def _cases(claims: Sequence[ClaimRow], verdicts: Sequence[VerdictRow]) -> list[Difference]:
    found = []
    for what, rows in (("claims that the other lacks", claims), ("verdicts that the other lacks", verdicts)):
        only = [sum(row.outcome is end for row in rows) for end in (Outcome.ONLY_A, Outcome.ONLY_B)]
        if any(only):
            found.append(Difference(what=what, a=str(only[0]), b=str(only[1])))
    return found


def _notes(a: Results, b: Results) -> tuple[str, ...]:
    notes = []
    named = methods(a), methods(b)
    if len(named[0]) == len(named[1]) == 1 and named[0] != named[1]:
        notes.append(f"each run has one method, so these two are compared: A {named[0][0]}, B {named[1][0]}")
    elif all(named) and not set(named[0]) & set(named[1]):
        notes.append("the runs have no method in common, so only claims about base models are compared")
    if set(a.run.seeds) != set(b.run.seeds):
        shared = sorted(set(a.run.seeds) & set(b.run.seeds))
        kept = f"on seeds {_listed(map(str, shared))} only" if shared else "on no seeds, as they share none"
        notes.append(f"effects are compared {kept}; statuses and verdicts are those of each run's own seeds")
    alone = [name for name, run in (("A", a), ("B", b)) if len(run.run.seeds) == 1]
    if alone:
        notes.append(
            f"provisional, as {' and '.join(alone)} {'have' if len(alone) > 1 else 'has'} one seed: nothing here is a regression"
        )
    return tuple(notes)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or DASH
