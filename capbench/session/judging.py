"""The judge of one test, with its models or the reason that they are missing."""

from __future__ import annotations

from collections.abc import Callable

from capbench.pipeline.plan import Plan
from capbench.session.models import Models
from capbench.studies.judge import Case, Claim, Judge


def judge_of(
    models: Models,
    claim: Claim,
    case: Case | None,
    method: str,
    *,
    nodeid: str,
    timed: Callable[[Callable[[], None]], None],
) -> Judge:
    """The judge of a claim for one method. models: the run's.

    nodeid: the test's, for the record. timed: calls its argument and measures the time.
    """
    case, studies = case or Case(), models.studies
    steps, blocked = studies.needed(claim, case, method)
    for by_name in steps.values():
        for step in Plan(by_name.values()).steps:
            blocked = blocked or models.errors.get(step, "")
    return Judge(
        claim=claim,
        case=case,
        nodeid=nodeid,
        method=studies.name(method),
        study=studies.of(claim, method),
        lab=models.lab,
        steps=steps,
        blocked=blocked,
        timed=timed,
    )
