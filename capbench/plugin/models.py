"""Make the models of all collected tests before the first test runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from capbench.errors import CapbenchError, UsageError
from capbench.plugin.items import claim_of, strategy_of

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession, Collected


def make_models(session: pytest.Session, ours: CapbenchSession) -> None:
    """Make the models that the collected tests need. Ends the run if the cache fails."""
    collected = needing_models(session.items)
    if not collected.tests and not collected.on_variants:
        return
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            ours.prepare(collected, say=reporter.write_line if reporter else lambda line: None)
        except UsageError as error:  # a cache or a cluster that cannot be used
            raise pytest.UsageError(str(error)) from None
        except CapbenchError as error:  # the cache: an artefact of another format, a full disk
            pytest.exit(f"capbench: nothing was tested: {error}", returncode=1)


def needing_models(items: Iterable[pytest.Item]) -> Collected:
    """The tests that need models. One whose marker is wrong is omitted here; its setup reports it."""
    from capbench.session.run import Collected

    tests, on_variants = [], []
    for item in items:
        with contextlib.suppress(UsageError):
            if "judge" in getattr(item, "fixturenames", ()):
                params = item.callspec.params  # type: ignore[attr-defined]
                tests.append((claim_of(item), params.get("case"), params["capbench_method"]))
            elif "variants" in getattr(item, "fixturenames", ()):
                method = item.callspec.params["capbench_method"]  # type: ignore[attr-defined]
                on_variants.append((claim_of(item), strategy_of(item), method))
    return Collected(tests, on_variants)
