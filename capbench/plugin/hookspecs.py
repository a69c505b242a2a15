"""The pytest hooks that a conftest or a plugin may implement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def pytest_capbench_register_methods(config: Any) -> dict[str, str | Callable[..., Any]] | None:
    """Names for `--capbench-method`, each with a spec (pkg.mod:attr, path/file.py:attr, peft:…) or a function.

    A function must be defined at the top level of a file, because processes that train import it again. A path is relative to
    the working directory. Called once with the `pytest.Config`, when pytest is configured, so a conftest.py must be beside the
    suites that are run or above them. A name that is taken is refused.
    """


def pytest_capbench_register_studies(config: Any) -> dict[str, str | Callable[..., Any]] | None:
    """Names for `@pytest.mark.claim(..., study=NAME)`, each with a factory or its `module:attribute`.

    A factory is called with the keywords scale, method, device and precision, and returns a study (capbench/studies/base.py).
    Called once with the `pytest.Config`, when pytest is configured, so a conftest.py must be beside the suites that are run or
    above them. A name that is taken is refused.
    """
