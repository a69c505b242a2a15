"""Keys under which the plugin stores its objects in pytest's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession
    from capbench.studies.judge import Judge
    from capbench.variants.judging import VariantsJudge

SESSION: pytest.StashKey[CapbenchSession] = pytest.StashKey()  # of a pytest.Config
JUDGE: pytest.StashKey[Judge | VariantsJudge] = pytest.StashKey()  # of a pytest.Item
