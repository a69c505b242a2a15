"""The judge of one test, with its models or the reason that they are missing, and the further seeds that it may take."""

from __future__ import annotations

from collections.abc import Callable

from capbench.pipeline.plan import Plan
from capbench.session.models import Models
from capbench.session.studies import each
from capbench.studies.judge import BySeed, Case, Claim, Judge, all_there, at_once
from capbench.verdicts import looks


def judge_of(
    models: Models,
    claim: Claim,
    case: Case | None,
    method: str,
    *,
    nodeid: str = "",
    timed: Callable[[Callable[[], None]], None] = at_once,
    make: Callable[[BySeed], str] = all_there,
) -> Judge:
    """The judge of a claim for one method. models: the run's.

    nodeid: the test's, for the record. timed: calls its argument and measures the time. make: see `Judge`, `make_missing`.
    """
    case, studies = case or Case(), models.studies
    needed = studies.needed(claim, case, method)
    return Judge(
        claim=claim,
        case=case,
        nodeid=nodeid,
        method=studies.name(method),
        study=studies.of(claim, method, case),
        lab=models.lab,
        steps=needed.always,
        if_lost=needed.if_lost,
        make=make,
        blocked=needed.blocked or _failed(models, needed.always),
        timed=timed,
        look=looks.look(0) if studies.options.auto else looks.ONLY,
    )


def look_again(models: Models, judge: Judge, method: str, *, say: Callable[[str], None]) -> None:
    """Give a judge the models of its claim's next look, after making those of the further seeds, all at once.

    See `Judge.goes_on`. Failures are kept in `models.errors`.
    """
    then = looks.look(judge.look.number + 1)
    more = range(len(judge.steps), looks.SEEDS[then.number])
    needed = models.studies.needed(judge.claim, judge.case, method, more)
    blocked = needed.blocked or make_missing(models, needed.if_lost if judge.lost else needed.always, say=say)
    judge.look_again(then, needed.always, needed.if_lost, blocked=blocked)


def make_missing(models: Models, steps: BySeed, *, say: Callable[[str], None]) -> str:
    """Make those of a test's models that are missing, all at once. Returns why one cannot be made; '' if all are there.

    What failed before is not tried again. Failures are kept in `models.errors`.
    """
    wanted = Plan(each(steps))
    if (why := _failed(models, steps)) or all(map(models.store.has, wanted.steps)):
        return why
    if not models.refused(wanted.steps.values()):
        models.errors |= models.make(wanted, say=say)
    return _failed(models, steps)


def _failed(models: Models, steps: BySeed) -> str:
    """Why one of a test's models could not be made; '' if all could."""
    return next((why for key in Plan(each(steps)).steps if (why := models.errors.get(key))), "")
