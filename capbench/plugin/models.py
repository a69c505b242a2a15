"""What the plugin does before the first test: it makes the models of all, or what is asked for in place of the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from capbench.errors import CapbenchError, UsageError
from capbench.plugin.items import claim_of, strategy_of

if TYPE_CHECKING:
    from capbench.session.models import Tests
    from capbench.session.run import CapbenchSession
    from capbench.session.variants import OnVariants


def make_models(session: pytest.Session, ours: CapbenchSession) -> bool:
    """Whether something was done in place of the tests, so that none is to be run. Exits where that, or a cache, fails."""
    tests, on_variants = _needing_models(session.items)
    options, say = ours.options, _sayer(session.config)
    if not tests and not on_variants and not options.in_place_of_tests:
        return False
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            if options.in_place_of_tests:
                _in_place_of_tests(session, ours, tests, on_variants, say)
            else:
                ours.models.prepare(tests, say=say)
                ours.variants.prepare(on_variants, say=say)
        except UsageError as error:  # a cache that cannot be used
            raise pytest.UsageError(str(error)) from None
        except CapbenchError as error:
            # Without either it is about the cache: an artefact of another format, a full disk.
            done = "exported" if options.export else "bundled" if options.zoo else "tested"
            pytest.exit(f"capbench: nothing was {done}: {error}", returncode=1)
    return options.in_place_of_tests


def _needing_models(items: list[pytest.Item]) -> tuple[Tests, OnVariants]:
    tests, on_variants = [], []
    for item in items:
        if "judge" in getattr(item, "fixturenames", ()):
            params = item.callspec.params  # type: ignore[attr-defined]
            with contextlib.suppress(UsageError):  # a test whose marker is wrong says so itself, in its setup
                tests.append((claim_of(item), params.get("case"), params["capbench_method"]))
        elif "variants" in getattr(item, "fixturenames", ()):
            with contextlib.suppress(UsageError):
                method = item.callspec.params["capbench_method"]  # type: ignore[attr-defined]
                on_variants.append((claim_of(item), strategy_of(item), method))
    return tests, on_variants


def _in_place_of_tests(
    session: pytest.Session, ours: CapbenchSession, tests: Tests, on_variants: OnVariants, say: Callable[[str], None]
) -> None:
    if ours.options.export:
        from capbench.session.export import export_for

        export_for(ours.models, tests, say=say)
    elif ours.options.only:
        from capbench.session.only import only

        if wrong := only(ours.models, ours.variants, tests, on_variants, say=say):
            pytest.exit("\n".join(f"capbench: {line}" for line in wrong), returncode=1)
    else:
        from capbench.session.zoo import make_or_check_zoo

        session.testsfailed += not make_or_check_zoo(ours.models, tests, say=say)


def _sayer(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter.write_line if reporter else lambda line: None
