"""The pytest plugin: models made before the tests, the fixtures `judge` and `variants`, verdicts as outcomes, the report."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from capbench.errors import UsageError
from capbench.plugin import architectures
from capbench.plugin.applicable import not_applicable
from capbench.plugin.attempts import number_tests
from capbench.plugin.benchmarks import ClaimsAreBenchmarks, benchmarked, has_benchmarks
from capbench.plugin.expecting import Expecting
from capbench.plugin.items import (
    asked_for,
    claim_of,
    no_test_runs,
    strategy_of,
    unused_stories,
)
from capbench.plugin.keys import JUDGE, SESSION
from capbench.plugin.models import make_further, make_late, make_models, make_more
from capbench.plugin.options import add_options, read_options
from capbench.plugin.outcome import FAILED_SUBTESTS, tell
from capbench.plugin.places import portable_id
from capbench.plugin.reporter import Reporter

if TYPE_CHECKING:
    from capbench.studies.judge import Case, Judge
    from capbench.variants.judging import VariantsJudge

_RUNNING: pytest.StashKey[bool] = pytest.StashKey()  # of an item


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from capbench.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)  # before pytest's own junitxml reads its path
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "claim(id, *, source, needs, needs_where_lost=..., study='pcfg-counter', uses_method=True): a claim of the paper, "
        "decided with `judge`",
    )
    config.addinivalue_line(
        "markers",
        "variants(strategy): a claim on variants of its task, drawn from this strategy, or from the one that this function "
        "returns (strategy=function), decided with `variants`",
    )
    config.addinivalue_line("markers", "extended: beyond the core; runs only with --capbench-extended")
    from capbench.session.run import CapbenchSession

    try:
        options = read_options(config)
        session = config.stash[SESSION] = CapbenchSession(options)
        config.pluginmanager.register(Reporter(config, session), "capbench-reporter")
        if options.expect:
            config.pluginmanager.register(Expecting(config, session), "capbench-expecting")
        if has_benchmarks(config):
            config.pluginmanager.register(ClaimsAreBenchmarks(config), "capbench-benchmarks")
        runs = not no_test_runs(config) and not hasattr(config, "workerinput")
        if runs:
            _ = session.baseline  # reports a baseline that cannot be used before anything is computed
            _ = session.variants.replayed  # and an unknown variant
        if runs:
            session.open_loggers()
        if options.report and runs:
            _ = session.models.store  # reports a cache that cannot be used before the folder is made
            session.prepare_report()
            if getattr(config.option, "xmlpath", "") is None:  # there is none with -p no:junitxml
                config.option.xmlpath = str(session.report_folder / "junit.xml")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    return config.stash[SESSION].header()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"judge", "variants"} & set(metafunc.fixturenames):
        return
    marker = metafunc.definition.get_closest_marker("claim")
    methods = tuple(metafunc.config.stash[SESSION].options.methods)
    if marker is None or not marker.kwargs.get("uses_method", True):
        methods = ("",)
    ids = [f"method={m}" for m in methods] if len(methods) > 1 else [pytest.HIDDEN_PARAM]
    metafunc.parametrize("capbench_method", methods, ids=ids)
    architectures.repeat(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    architectures.name_it(item)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    options = config.stash[SESSION].options
    number_tests(items)
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("claim")
        if marker is not None and marker.args:
            item.extra_keyword_matches.add(str(marker.args[0]))
        if why := not_applicable(item, options):
            item.add_marker(pytest.mark.skip(reason=why))
        (kept if asked_for(item, options) and architectures.asked_for(item) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
    if (why := unused_stories(kept, options)) and not hasattr(config, "workerinput"):
        raise pytest.UsageError(why)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Make every model that the collected tests need, before the first test runs."""
    if no_test_runs(session.config) or (
        session.testsfailed and not session.config.option.continue_on_collection_errors
    ):
        return
    make_models(session.config, session.items, session.config.stash[SESSION])


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The parameters of the test. Suites parametrize it; this is for claims without parameters, but for an architecture."""
    from capbench.studies.judge import Case

    return architectures.case_of(request.node) or Case()


@pytest.fixture
def capbench_architecture() -> str:
    """The architecture that --capbench-architecture asks for; '' for the study's own. In the test's case, too."""
    return ""


@pytest.fixture
def judge(request: pytest.FixtureRequest, capbench_method: str, capbench_architecture: str, case: Case) -> Judge:
    """Decides one claim for one method: measure, check controls, decide. See capbench/studies/judge.py."""
    item = request.node
    try:
        claim = claim_of(item)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    from capbench.session.judging import judge_of
    from capbench.studies.judge import at_once

    timed = benchmarked(request) if has_benchmarks(request.config) else at_once
    session = request.config.stash[SESSION]
    make_late(item, session)
    make, nodeid = make_more(item, session), portable_id(item)
    made = judge_of(session.models, claim, case, capbench_method, nodeid=nodeid, timed=timed, make=make)
    item.stash[JUDGE] = made
    return made


@pytest.fixture
def variants(request: pytest.FixtureRequest, capbench_method: str) -> VariantsJudge:
    """Decides one claim on variants of its task, for one method. See capbench/variants/judging.py."""
    item = request.node
    try:
        claim, strategy = claim_of(item), strategy_of(item)
        made = request.config.stash[SESSION].variants.judge(claim, strategy, capbench_method, nodeid=portable_id(item))
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    item.stash[JUDGE] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """While a test runs, reports are of its subtests."""
    item.stash[FAILED_SUBTESTS] = []
    item.stash[_RUNNING] = True
    try:
        return (yield)
    finally:
        item.stash[_RUNNING] = False


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """A test whose claim is undecided is run again with more seeds, if they were asked for and there is a look left."""
    result = yield
    made = pyfuncitem.stash.get(JUDGE, None)
    if made is None or not made.goes_on or pyfuncitem.stash.get(FAILED_SUBTESTS, []):
        return result
    make_further(pyfuncitem, pyfuncitem.config.stash[SESSION])
    return pyfuncitem.ihook.pytest_pyfunc_call(pyfuncitem=pyfuncitem)  # which comes here again


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    made = item.stash.get(JUDGE, None)
    if made is None or call.when != "call":
        return report
    if item.stash.get(_RUNNING, False):
        if report.failed and call.excinfo is not None:
            item.stash[FAILED_SUBTESTS].append(call.excinfo.exconly())
        return report
    tell(report, made, item, call, item.config.stash[SESSION].watch)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if getattr(report, "capbench_status", None) == "invalid" and report.failed:
        return "error", "E", "INVALID"
    return None
