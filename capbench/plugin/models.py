"""Make the models of all collected tests that will run, before the first one does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from capbench.errors import CapbenchError, UsageError
from capbench.plugin.architectures import case_of
from capbench.plugin.benchmarks import times_wanted
from capbench.plugin.items import body_of, claim_of, may_run, no_test_runs, strategy_of
from capbench.plugin.keys import JUDGE

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession, Collected
    from capbench.studies.judge import BySeed

_LEFT_OUT: pytest.StashKey[bool] = pytest.StashKey()  # of an item that was not expected to run


def make_models(config: pytest.Config, items: Iterable[pytest.Item], ours: CapbenchSession) -> None:
    """Make the models that these tests need. Ends the run if the cache fails."""
    collected = needing_models(items)
    if not collected.tests and not collected.on_variants:
        return
    with _speaking(config) as say:
        try:
            may_read = not times_wanted(config)  # what is read ahead is not there to be timed
            ours.prepare(collected, say=say, may_read=may_read)
            if may_read:
                ours.read_ahead(collected, say=say)
        except UsageError as error:  # a cache or a cluster that cannot be used
            raise pytest.UsageError(str(error)) from None
        except CapbenchError as error:  # the cache: an artefact of another format, a full disk
            pytest.exit(f"capbench: nothing was tested: {error} ({ours.options.cache_shown})", returncode=1)


def make_further(item: pytest.Item, ours: CapbenchSession) -> None:
    """Make the models of the next seeds of a test whose claim is undecided, and give them to its judge."""
    from capbench.session.judging import look_again
    from capbench.studies.judge import Judge

    judge = item.stash[JUDGE]
    assert isinstance(judge, Judge)  # of claims on variants none goes on
    with _speaking(item.config) as say:
        say(f"\ncapbench: {judge.record().id} is undecided at {len(judge.steps)} seeds, and takes more")
        look_again(ours.models, judge, item.callspec.params["capbench_method"], say=say)  # type: ignore[attr-defined]


def make_more(item: pytest.Item, ours: CapbenchSession) -> Callable[[BySeed], str]:
    """Makes what a test needs as it has lost a behaviour, if that was not known before: it took more seeds, say."""

    def made(steps: BySeed) -> str:
        from capbench.session.judging import make_missing

        with _speaking(item.config) as say:
            return make_missing(ours.models, steps, say=say)

    return made


@contextlib.contextmanager
def _speaking(config: pytest.Config) -> Iterator[Callable[[str], None]]:
    """What writes a line to the terminal, where there is one, and no output is captured meanwhile: of a progress bar, say."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
        yield _writing(reporter) if reporter else lambda line: None


def _writing(reporter: Any) -> Callable[[str], None]:
    """What writes a line that is seen at once, in a file too."""

    def write(line: str) -> None:
        reporter.write_line(line)
        reporter.flush()

    return write


def make_late(item: pytest.Item, ours: CapbenchSession) -> None:
    """Make the models of a test that runs after all: its condition to skip it holds no longer."""
    if item.stash.get(_LEFT_OUT, False) and not no_test_runs(item.config):
        ours.models.prepare(needing_models([item]).tests, say=lambda line: None)


def needing_models(items: Iterable[pytest.Item]) -> Collected:
    """The tests that need models, without those whose marks let them not run.

    One whose marker is wrong is omitted here, too; its setup reports it.
    """
    from capbench.session.run import Collected

    tests, on_variants, bodies = [], [], []
    for item in items:
        if not {"judge", "variants"} & set(getattr(item, "fixturenames", ())):
            continue
        if left_out := not may_run(item):
            item.stash[_LEFT_OUT] = left_out
            continue
        with contextlib.suppress(UsageError):
            if "judge" in item.fixturenames:  # type: ignore[attr-defined]
                params = item.callspec.params  # type: ignore[attr-defined]
                tests.append((claim_of(item), case_of(item), params["capbench_method"]))
                bodies.append(body_of(item))
            else:
                method = item.callspec.params["capbench_method"]  # type: ignore[attr-defined]
                on_variants.append((claim_of(item), strategy_of(item), method))
    return Collected(tests, on_variants, bodies)
