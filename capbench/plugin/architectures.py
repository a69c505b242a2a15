"""--capbench-architecture: each claim of a PCFG suite is repeated for every architecture, which becomes part of its case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capbench.plugin.keys import SESSION

if TYPE_CHECKING:
    from capbench.studies.judge import Case

FIXTURE = "capbench_architecture"
_CASE: pytest.StashKey[Case] = pytest.StashKey()  # of an item whose test has no parameters of its own
_STUDIES = ("pcfg-counter", "pcfg-indexer", "pcfg-jailbreak")  # those whose architecture can be chosen


def repeat(metafunc: pytest.Metafunc) -> None:
    """Repeat a claim for each architecture that is asked for."""
    marker = metafunc.definition.get_closest_marker("claim")
    asked = metafunc.config.stash[SESSION].options.architectures
    if not asked or marker is None or "judge" not in metafunc.fixturenames:
        return
    if marker.kwargs.get("study", _STUDIES[0]) in _STUDIES:
        metafunc.parametrize(FIXTURE, asked, ids=[f"architecture={name}" for name in asked])


def name_it(item: pytest.Item) -> None:
    """Put the architecture into the test's case, unless the suite chose one."""
    from capbench.studies.judge import Case

    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if architecture := parameters.get(FIXTURE):
        if "case" in parameters:
            parameters["case"] = Case(**{"architecture": architecture, **parameters["case"].parameters})
        else:
            item.stash[_CASE] = Case(architecture=architecture)


def case_of(item: pytest.Item) -> Case | None:
    """The case of a test; None for one without."""
    found: Case | None = item.callspec.params.get("case")  # type: ignore[attr-defined]
    return found or item.stash.get(_CASE, None)


def asked_for(item: pytest.Item) -> bool:
    """Whether the test's architecture is one that is asked for: a suite may have chosen another."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    asked, case = parameters.get(FIXTURE), parameters.get("case")
    return not asked or case is None or bool(case.architecture == asked)
