"""Root of the test run: Hypothesis profiles. The capbench plugin itself is an entry point of the package."""

import os

from hypothesis import settings

pytest_plugins = "pytester"  # the plugin's own tests run pytest inside pytest

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
