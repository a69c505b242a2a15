"""Root of the test run. The capbench plugin itself is an entry point of the package."""

import sys

import pytest

pytest_plugins = "pytester"  # the plugin's own tests run pytest inside pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hypothesis' plugin imports Hypothesis for its summary, used or not: a second of a `--collect-only` of the suites."""
    if session.config.option.collectonly and "hypothesis" not in sys.modules:
        session.config.pluginmanager.unregister(name="hypothesispytest")
