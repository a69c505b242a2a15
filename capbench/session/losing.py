"""Which tests lost a behaviour, and so need more models: read before they are made, and decided as their judges decide it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capbench.session.judging import judge_of
from capbench.session.models import Models, Test, Tests
from capbench.session.studies import each
from capbench.store.store import DamagedArtefact
from capbench.studies.judge import Judge, no_models
from capbench.studies.losing import Body, loses


@dataclass(frozen=True, kw_only=True)
class Open:
    """A test that needs more models if a behaviour is lost, and does not have them all. body: what it does with its judge."""

    test: Test
    judge: Judge
    body: Body | None

    def loses(self) -> bool:
        """See studies/losing.py. True where only the test itself can tell."""
        return self.body is None or loses(self.judge, self.body)


def still_open(models: Models, tests: Tests, bodies: Sequence[Body | None]) -> list[Open]:
    """Those of the tests, whose first models are made, that may need more."""
    found = []
    for test, body in zip(tests, bodies, strict=True):
        if test[0].needs_where_lost is no_models:
            continue
        judge = judge_of(models, *test)
        if not judge.blocked and not all(models.store.has(step.key) for step in each(judge.all_steps)):
            found.append(Open(test=test, judge=judge, body=body))
    return found


def losing(found: Sequence[Open], *, say: Callable[[str], None]) -> list[Test]:
    """The tests that lost a behaviour. Reads it, unless it is in the store."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DamagedArtefact)
        lost = [one.test for one in found if one.loses()]
    for warning in told:
        if issubclass(warning.category, DamagedArtefact):
            say(f"capbench: warning: {warning.message}")
    say(f"capbench: a behaviour is lost in {len(lost)} of {len(found)} tests that need more models where it is")
    return lost
