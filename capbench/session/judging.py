"""The judge of one test, with its models or the reason that they are missing, and the further seeds that it may take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.session.models import Models
from capbench.studies.judge import Case, Claim, Judge, at_once
from capbench.verdicts import looks


def judge_of(
    models: Models,
    claim: Claim,
    case: Case | None,
    method: str,
    *,
    nodeid: str = "",
    timed: Callable[[Callable[[], None]], None] = at_once,
) -> Judge:
    """The judge of a claim for one method. models: the run's.

    nodeid: the test's, for the record. timed: calls its argument and measures the time.
    """
    case, studies = case or Case(), models.studies
    steps, blocked = studies.needed(claim, case, method)
    return Judge(
        claim=claim,
        case=case,
        nodeid=nodeid,
        method=studies.name(method),
        study=studies.of(claim, method),
        lab=models.lab,
        steps=steps,
        blocked=blocked or _failed(models, steps),
        timed=timed,
        look=looks.look(0) if studies.options.auto else looks.ONLY,
    )


def look_again(models: Models, judge: Judge, method: str, *, say: Callable[[str], None]) -> None:
    """Give a judge the models of its claim's next look, after making those of the further seeds, all at once.

    See `Judge.goes_on`. Failures are kept in `models.errors`.
    """
    then = looks.look(judge.look.number + 1)
    more = range(len(judge.steps), looks.SEEDS[then.number])
    steps, blocked = models.studies.needed(judge.claim, judge.case, method, more)
    wanted = Plan(step for by_name in steps.values() for step in by_name.values())
    if not blocked and not models.refused(wanted.steps.values()):
        models.errors |= models.make(wanted, say=say)
    judge.look_again(then, steps, blocked=blocked or _failed(models, steps))


def _failed(models: Models, steps: Mapping[int, Mapping[str, Step]]) -> str:
    """Why one of a test's models could not be made; '' if all could."""
    needed: Iterable[Step] = (step for by_name in steps.values() for step in by_name.values())
    return next((why for key in Plan(needed).steps if (why := models.errors.get(key))), "")
