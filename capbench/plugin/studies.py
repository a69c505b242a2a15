"""The studies known to a run: built-in, from installed packages, from plugins and conftest files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from capbench.errors import UsageError

if TYPE_CHECKING:
    from capbench.studies.registry import Table

_TABLE: pytest.StashKey[Table] = pytest.StashKey()


def known_studies(config: pytest.Config) -> Table:
    """name -> study. The hook is called once. Raises UsageError, one line, for one that cannot be registered."""
    if _TABLE not in config.stash:
        from capbench.studies import registry

        config.stash[_TABLE] = registry.table(_answers(config))
    return config.stash[_TABLE]


def _answers(config: pytest.Config) -> Iterator[tuple[str, object]]:
    """(plugin, what its hook returned), so that a message can name the plugin."""
    from capbench.methods.specs.user_code import one_line
    from capbench.studies.registry import HOOK

    manager = config.pluginmanager
    for given in manager.get_plugins():
        if hasattr(given, HOOK):
            others = [other for other in manager.get_plugins() if other is not given]
            giver = f"'{manager.get_name(given)}'"
            try:
                answers = manager.subset_hook_caller(HOOK, others)(config=config)
            except Exception as error:
                raise UsageError(f"{HOOK} of {giver} failed: {one_line(error)}") from error
            for answer in answers:
                yield giver, answer
