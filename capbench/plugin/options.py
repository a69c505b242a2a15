"""The options of the pytest plugin, read from pytest's command line or from that of a `capbench` command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capbench.errors import UsageError
from capbench.plugin.studies import known_studies
from capbench.session.options.given import Given, declare
from capbench.session.options.row import PYTEST

if TYPE_CHECKING:
    from capbench.session.options.checked import Options

COLLECTOR = "capbench-collector"  # the plugin with which a command collects tests; it has `given`


def add_options(parser: pytest.Parser) -> None:
    """Add all options as one group."""
    declare(parser.getgroup("capbench", "capbench: what fine-tuning does to capabilities").addoption, PYTEST)


def read_options(config: pytest.Config) -> Options:
    """The options given, checked. Raises UsageError."""
    from capbench.session.options.checked import Options

    given = Given.read(PYTEST, config.option)
    collector = config.pluginmanager.get_plugin(COLLECTOR)
    if collector is not None:
        given = Given(collector.given.taker, collector.given.texts, beneath=given)
    return Options.of(
        given,
        workers=_worker_count(config),
        spread=bool(getattr(config.option, "tx", None) or getattr(config.option, "numprocesses", None)),
        command=" ".join(["pytest", *map(str, config.invocation_params.args)]),
        registered=_registered(config),
        studies=known_studies(config),
    )


def _registered(config: pytest.Config) -> dict[str, str]:
    """Method name -> spec, from plugins and the conftest files loaded so far. Raises UsageError."""
    from capbench.methods.specs import names
    from capbench.methods.specs.user_code import one_line

    try:
        answers = config.hook.pytest_capbench_register_methods(config=config)
    except Exception as error:
        raise UsageError(f"pytest_capbench_register_methods failed: {one_line(error)}") from error
    return names.collect(answers)


def _worker_count(config: pytest.Config) -> int:
    """The number of pytest-xdist workers that share this machine's cores."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))
