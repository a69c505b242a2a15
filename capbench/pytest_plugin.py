"""The pytest plugin: the plan before the tests, the `judge` fixture, verdicts as outcomes, the report."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capbench.errors import CapbenchError, UsageError
from capbench.pytest_expect import Expecting
from capbench.pytest_options import add_options

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from capbench.judge import Case, Claim, Judge
    from capbench.protocols.variant import Variant
    from capbench.session import CapbenchSession, Options
    from capbench.variants.judging import VariantsJudge

_SESSION = pytest.StashKey["CapbenchSession"]()
_JUDGE = pytest.StashKey["Judge | VariantsJudge"]()
_BENCHMARK = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from capbench import hooks

    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(tryfirst=True)  # before pytest's own junitxml reads its path
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "claim(id, *, source, needs, study='pcfg-counter', uses_method=True): a claim of the paper, decided through `judge`",
    )
    config.addinivalue_line(
        "markers",
        "variants(strategy): a claim on variants of its task, drawn from this strategy, decided through `variants`",
    )
    config.addinivalue_line("markers", "extended: beyond the core; runs only with --capbench-extended")
    from capbench.session import CapbenchSession, Options

    try:
        options = Options.parse(
            config.option,
            workers=_worker_count(config),
            command=" ".join(["pytest", *_arguments(config)]),
            registered=_registered(config),
        )
        session = config.stash[_SESSION] = CapbenchSession(options)
        config.pluginmanager.register(_Reporter(config, session), "capbench-reporter")
        if options.expect:
            config.pluginmanager.register(Expecting(config, session), "capbench-expecting")
        if not config.option.collectonly and not hasattr(config, "workerinput"):
            _ = session.baseline  # one that cannot be compared with is told before anything is computed
            _ = session.replayed  # and so is a variant that is not known
        if options.report and not config.option.collectonly and not hasattr(config, "workerinput"):
            _ = session.store  # a cache that cannot be used is told before the report's folder is made
            session.prepare_report()
            if config.option.xmlpath is None:
                config.option.xmlpath = str(session.report_folder / "junit.xml")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _registered(config: pytest.Config) -> dict[str, str]:
    """Names for methods from plugins and from the conftest files that are loaded by now. Raises UsageError."""
    from capbench.methods import names, registry

    try:
        answers = config.hook.pytest_capbench_register_methods(config=config)
    except Exception as error:
        raise UsageError(f"pytest_capbench_register_methods failed: {registry.one_line(error)}") from error
    return names.collect(answers, registry.BUILT_IN)


def _worker_count(config: pytest.Config) -> int:
    """Number of pytest-xdist processes that share this machine's cores."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))


def _arguments(config: pytest.Config) -> tuple[str, ...]:
    return tuple(str(a) for a in config.invocation_params.args)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return config.stash[_SESSION].header()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"judge", "variants"} & set(metafunc.fixturenames):
        return
    marker = metafunc.definition.get_closest_marker("claim")
    methods = metafunc.config.stash[_SESSION].options.methods
    if marker is None or not marker.kwargs.get("uses_method", True):
        methods = ("",)
    ids = [f"method={m}" for m in methods] if len(methods) > 1 else [pytest.HIDDEN_PARAM]
    metafunc.parametrize("capbench_method", methods, ids=ids)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    options = config.stash[_SESSION].options
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("claim")
        if marker is not None and marker.args:
            item.extra_keyword_matches.add(str(marker.args[0]))
        (kept if _asked_for(item, options) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def _asked_for(item: pytest.Item, options: Options) -> bool:
    """Whether a test that was selected is to be run: extended ones, those on variants, those on one's own task."""
    marker = item.get_closest_marker("claim")
    if item.get_closest_marker("variants"):
        return options.variants is not None and options.task is None
    if options.replay and marker is not None:  # the variants are asked for, and nothing else
        return False
    if options.task is not None and marker is not None:
        from capbench.session import OWN_IN_PLACE_OF

        if marker.kwargs.get("study", OWN_IN_PLACE_OF) != OWN_IN_PLACE_OF:
            return False
    return options.extended or item.get_closest_marker("extended") is None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Make every model that the collected tests need, before the first of them runs. With --capbench-export or -only none is."""
    if session.config.option.collectonly or (
        session.testsfailed and not session.config.option.continue_on_collection_errors
    ):
        return None
    ours = session.config.stash[_SESSION]
    tests, on_variants = [], []
    for item in session.items:
        if "judge" in getattr(item, "fixturenames", ()):
            params = item.callspec.params  # type: ignore[attr-defined]
            with contextlib.suppress(UsageError):  # a test whose marker is wrong says so itself, in its setup
                tests.append((_claim(item), params.get("case"), params["capbench_method"]))
        elif "variants" in getattr(item, "fixturenames", ()):
            with contextlib.suppress(UsageError):
                method = item.callspec.params["capbench_method"]  # type: ignore[attr-defined]
                on_variants.append((_claim(item), _strategy(item), method))
    if not tests and not on_variants and not ours.options.in_place_of_tests:
        return None
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            if ours.options.export:
                ours.export(tests, say=_sayer(session.config))
                return True
            if ours.options.only:
                wrong = ours.only(tests, on_variants, say=_sayer(session.config))
                if wrong:
                    pytest.exit("\n".join(f"capbench: {line}" for line in wrong), returncode=1)
                return True
            if ours.options.zoo:
                session.testsfailed += not ours.zoo(tests, say=_sayer(session.config))
                return True
            ours.prepare(tests, say=_sayer(session.config))
            ours.prepare_variants(on_variants, say=_sayer(session.config))
        except UsageError as error:  # a cache that cannot be used
            raise pytest.UsageError(str(error)) from None
        except CapbenchError as error:
            # Without either it is about the cache: an artefact of another format, a full disk.
            done = "exported" if ours.options.export else "bundled" if ours.options.zoo else "tested"
            pytest.exit(f"capbench: nothing was {done}: {error}", returncode=1)
    return None


def _sayer(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter.write_line if reporter else lambda line: None


def _claim(item: pytest.Item) -> Claim:
    """The claim of a test's marker. Raises UsageError for a marker that is missing or not of the documented form."""
    from capbench.judge import Claim
    from capbench.protocols.studies import STUDIES

    marker = item.get_closest_marker("claim")
    if marker is None or not marker.args:
        raise UsageError(
            f"{item.nodeid} uses `judge`, so it needs @pytest.mark.claim('some.id', source=..., needs=...)"
        )
    if marker.kwargs.get("study", "pcfg-counter") not in STUDIES:
        raise UsageError(f"{item.nodeid}: unknown study {marker.kwargs['study']!r}; known: {', '.join(STUDIES)}")
    document = (getattr(item, "function", None).__doc__ or "").strip().split("\n\n")[0]
    try:
        return Claim(id=str(marker.args[0]), statement=" ".join(document.split()), **marker.kwargs)
    except TypeError as error:
        raise UsageError(
            f"{item.nodeid}: mark claim({marker.args[0]!r}): {str(error).split('__init__() ')[-1]}"
        ) from None


@pytest.fixture
def case() -> Case:
    """The parameters of the test: suites parametrize it; a claim without parameters has this empty one."""
    from capbench.judge import Case

    return Case()


@pytest.fixture
def judge(request: pytest.FixtureRequest, capbench_method: str, case: Case) -> Judge:
    """Decides one claim for one method: measure, check controls, decide. See capbench/judge.py."""
    item = request.node
    timed = _benchmarked(request) if request.config.pluginmanager.hasplugin("benchmark") else lambda work: work()
    try:
        claim = _claim(item)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    made = request.config.stash[_SESSION].judge(claim, case, capbench_method, nodeid=item.nodeid, timed=timed)
    item.stash[_JUDGE] = made
    return made


@pytest.fixture
def variants(request: pytest.FixtureRequest, capbench_method: str) -> VariantsJudge:
    """Decides one claim on variants of its task, for one method. See capbench/variants/judging.py."""
    item = request.node
    try:
        claim, strategy = _claim(item), _strategy(item)
        made = request.config.stash[_SESSION].judge_variants(claim, strategy, capbench_method, nodeid=item.nodeid)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    item.stash[_JUDGE] = made
    return made


def _strategy(item: pytest.Item) -> SearchStrategy[Variant]:
    """The strategy of a test's marker `variants`. Raises UsageError if there is none."""
    marker = item.get_closest_marker("variants")
    if marker is None or len(marker.args) != 1:
        raise UsageError(f"{item.nodeid} uses `variants`, so it needs @pytest.mark.variants(strategy)")
    from hypothesis.strategies import SearchStrategy

    if not isinstance(marker.args[0], SearchStrategy):
        given = repr(marker.args[0])[:80]
        raise UsageError(
            f"{item.nodeid}: mark variants({given}): must be a strategy, as capbench.strategies.variants()"
        )
    found: SearchStrategy[Variant] = marker.args[0]
    return found


def _benchmarked(request: pytest.FixtureRequest) -> Callable[[Callable[[], None]], None]:
    def timed(work: Callable[[], None]) -> None:
        # Asked for late: a benchmark fixture that is never used is a warning.
        benchmark = request.node.stash[_BENCHMARK] = request.getfixturevalue("benchmark")
        benchmark.pedantic(work, rounds=1, iterations=1)

    return timed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    made = item.stash.get(_JUDGE, None)
    if made is None or call.when != "call":
        return report
    from capbench.judge import InvalidClaimError, outcome_line
    from capbench.results import Status, to_dict

    own_line = True
    if call.excinfo is not None:
        own_line = isinstance(call.excinfo.value, (InvalidClaimError, pytest.skip.Exception))
        made.invalidate(str(call.excinfo.value) if own_line else f"the test failed: {call.excinfo.exconly()}")
    record = made.record()
    expected = item.config.stash[_SESSION].watch.outcome(record, broken=not own_line)
    status, line = record.verdict.status, outcome_line(record)
    if expected is not None:
        record, line = dataclasses.replace(record, expected=expected.text), f"{line}; {expected.line}"
    fine = status in (Status.SUPPORTED, Status.INCONCLUSIVE) if expected is None else expected.holds
    if fine and status is Status.SUPPORTED:
        report.outcome, report.longrepr = "passed", None
    elif fine:
        report.outcome, report.wasxfail, report.longrepr = "skipped", line, line
    else:
        report.outcome = "failed"
        if own_line:  # a broken test keeps its traceback
            report.longrepr = line
    report.capbench_status = str(status)
    report.capbench_record = to_dict(record)
    benchmark = item.stash.get(_BENCHMARK, None)
    if benchmark is not None:
        v = record.verdict
        benchmark.extra_info.update(claim=record.id, status=str(status), effect=v.effect, margin=v.margin)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if getattr(report, "capbench_status", None) == "invalid" and report.failed:
        return "error", "E", "INVALID"
    return None


class _Reporter:
    """Collects the records (with pytest-xdist those of the workers arrive here too) and writes the report."""

    def __init__(self, config: pytest.Config, session: CapbenchSession) -> None:
        self._config, self._session = config, session
        self._records: list[dict[str, Any]] = []
        self._run: pytest.Session | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = getattr(report, "capbench_record", None)
        if record is not None:
            self._records.append(record)

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside the terminal's own hook, around that of junitxml
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """A report directory that vanished during the run costs junit.xml, not the results: `write` will say so."""
        self._run = session
        try:
            return (yield)
        except OSError:
            if not self._session.options.report:
                raise
            return None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if hasattr(self._config, "workerinput"):  # with pytest-xdist the report is the controller's
            return
        report = None if self._config.option.collectonly else self._session.options.report
        baseline = None if self._config.option.collectonly else self._session.baseline
        if not self._records and not report and baseline is None:
            return
        from capbench.report import capability_table, claim_table, variant_table, write

        results = self._session.results(self._records)
        terminalreporter.section("capbench")
        terminalreporter.write_line(claim_table(results))
        if tried := variant_table(results):
            terminalreporter.write_line(f"\n{tried}")
        if results.capabilities:
            terminalreporter.write_line("")
            terminalreporter.write_line(capability_table(results))
        if report:
            try:
                folder = write(results, Path(report))
                terminalreporter.write_line(f"\nreport: {folder / 'report.html'}")
            except (UsageError, OSError) as error:
                terminalreporter.write_line(f"the report could not be written: {error}", red=True)
        if baseline is not None:
            words, regression = baseline.conclude(results, complete=self._complete(), asked=self._asks_for)
            terminalreporter.write_line(f"\n{words}")
            if regression:
                terminalreporter.write_line(regression, red=True)
                if self._run is not None and self._run.exitstatus == pytest.ExitCode.OK:
                    self._run.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _complete(self) -> bool:
        """Whether all tests that were selected have been run."""
        ends = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        run = self._run
        return run is not None and run.exitstatus in ends and not run.shouldstop and not run.shouldfail

    def _asks_for(self, nodeid: str) -> bool:
        """Whether the command line asks for a test of an earlier run: nothing narrows it, and it names the file or its folder."""
        narrowing = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
        if any(getattr(self._config.option, name, None) for name in narrowing):
            return False
        file, here = self._config.rootpath / nodeid.partition("::")[0], self._config.invocation_params.dir
        given = [Path(os.path.normpath(here / argument)) for argument in self._config.args if "::" not in argument]
        return any(file.is_relative_to(path) for path in given)
