"""What the plugin reads from a collected test: its claim, its strategy of variants, whether it should run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import pytest

from capbench.errors import UsageError
from capbench.plugin.architectures import case_of
from capbench.plugin.studies import known_studies

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from capbench.session.options.checked import Options
    from capbench.studies.judge import Claim, Judge
    from capbench.variants.codec import AnyVariant


def claim_of(item: pytest.Item) -> Claim:
    """The claim in a test's marker. Raises UsageError if the marker is missing or has the wrong arguments."""
    from capbench.studies.judge import Claim
    from capbench.studies.registry import unknown

    marker = item.get_closest_marker("claim")
    if marker is None or not marker.args:
        raise UsageError(
            f"{item.nodeid} uses `judge`, so it needs @pytest.mark.claim('some.id', source=..., needs=...)"
        )
    studies = known_studies(item.config)
    if marker.kwargs.get("study", "pcfg-counter") not in studies:
        raise UsageError(f"{item.nodeid}: {unknown(marker.kwargs['study'], studies)}")
    document = (getattr(item, "function", None).__doc__ or "").strip().split("\n\n")[0]
    try:
        return Claim(id=str(marker.args[0]), statement=" ".join(document.split()), **marker.kwargs)
    except TypeError as error:
        raise UsageError(
            f"{item.nodeid}: mark claim({marker.args[0]!r}): {str(error).split('__init__() ')[-1]}"
        ) from None


def strategy_of(item: pytest.Item) -> SearchStrategy[AnyVariant]:
    """The strategy in a test's marker `variants`, or returned by a function there. Raises UsageError if there is none."""
    marker = item.get_closest_marker("variants")
    given = [*marker.args, *marker.kwargs.values()] if marker is not None else []
    if len(given) != 1:
        raise UsageError(f"{item.nodeid} uses `variants`, so it needs @pytest.mark.variants(strategy)")
    from hypothesis.strategies import SearchStrategy

    from capbench.methods.specs.user_code import one_line

    try:
        found: SearchStrategy[AnyVariant] = _made(given[0]) if inspect.isfunction(given[0]) else given[0]
    except Exception as error:  # a user's function may raise anything
        raise UsageError(f"{item.nodeid}: mark variants: {given[0].__name__} failed: {one_line(error)}") from None
    if not isinstance(found, SearchStrategy):
        raise UsageError(
            f"{item.nodeid}: mark variants({repr(given[0])[:80]}): must be a strategy, "
            "such as capbench.variants.strategies.variants(), or a function that returns one"
        )
    return found


@cache
def _made(strategy: Callable[[], SearchStrategy[AnyVariant]]) -> SearchStrategy[AnyVariant]:
    """One strategy for all tests marked with the same function, so that its variants are drawn once."""
    return strategy()


def body_of(item: pytest.Item) -> Callable[[Judge], object] | None:
    """What a test does with its judge, without pytest; None if it takes fixtures besides that and its parameters.

    A fixture `judge` of the suite's own, which changes capbench's, is called, too.
    """
    from capbench.studies.judge import Case

    names = item._fixtureinfo.argnames  # type: ignore[attr-defined]
    given = {"case": case_of(item) or Case(), **item.callspec.params}  # type: ignore[attr-defined]
    own = item._fixtureinfo.name2fixturedefs["judge"][1:]  # type: ignore[attr-defined]
    if not set(names) <= {"judge", *given} or any(
        set(fixture.argnames) != {"judge"} or inspect.isgeneratorfunction(fixture.func) for fixture in own
    ):
        return None
    more = {name: given[name] for name in names if name != "judge"}

    def body(judge: Judge) -> None:
        with suppress(pytest.skip.Exception, pytest.fail.Exception):  # xfail's derives from fail's
            for fixture in own:
                judge = fixture.func(judge=judge)
            item.obj(judge=judge, **more)  # type: ignore[attr-defined]

    return body


_SHOWS_ONLY = (
    *("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test"),
    *("cacheshow", "markers", "help", "version"),
)


def no_test_runs(config: pytest.Config) -> bool:
    """Whether pytest was told only to show something: what it collects or sets up, its options …"""
    return any(getattr(config.option, name, None) for name in _SHOWS_ONLY)


def may_run(item: pytest.Item) -> bool:
    """Whether the marks skip, skipif and xfail(run=False) let a test run, as pytest itself decides before the test's fixtures."""
    skipping = item.config.pluginmanager.get_plugin("skipping")
    if skipping is None:  # -p no:skipping: the marks mean nothing
        return True
    try:
        skipping.pytest_runtest_setup(item)
    except (Exception, pytest.skip.Exception, pytest.fail.Exception):  # xfail's derives from fail's. Or a wrong mark
        return False
    return True


def unused_stories(items: Iterable[pytest.Item], options: Options) -> str:
    """What to say where the user's own stories were given and no test is about stories; '' elsewhere."""
    from capbench.session.studies import ON_STORIES

    markers = [item.get_closest_marker("claim") for item in items]
    if options.data is None or any(m is not None and m.kwargs.get("study") == ON_STORIES for m in markers):
        return ""
    extended = "" if options.extended else " with --capbench-extended"
    return (
        f"--capbench-data={options.data}: no test that was collected is about stories; "
        f"run suites/stories{extended}, or omit it"
    )


def asked_for(item: pytest.Item, options: Options) -> bool:
    """Whether the options ask for a selected test: extended tests, tests on variants and a task of one's own are optional."""
    marker = item.get_closest_marker("claim")
    if item.get_closest_marker("variants"):
        return options.variants is not None and options.task is None
    if options.replay and marker is not None:  # only tests on variants are asked for
        return False
    if options.task is not None and marker is not None:
        from capbench.session.studies import OWN_IN_PLACE_OF

        if marker.kwargs.get("study", OWN_IN_PLACE_OF) != OWN_IN_PLACE_OF:
            return False
    return options.extended or item.get_closest_marker("extended") is None
