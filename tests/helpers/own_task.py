"""A task's class that is not capbench's, in a module with a neighbour."""

from __future__ import annotations

import tiny_study


class OwnTask:
    """A task of the tiny study's vocabulary."""

    vocabulary = tiny_study.SETTING.vocabulary
