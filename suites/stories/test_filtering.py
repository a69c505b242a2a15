"""Filtering: leaving a capability out of fine-tuning does not take it away (Sec. 5.2, Table 1).

Control: the base model tells a twist where it is asked for one.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.stories.claims import deleted, keeps

pytestmark = pytest.mark.extended  # minutes a seed


@pytest.mark.claim("stories.filtering.keeps", source="Sec. 5.2, Table 1", study="stories", needs=deleted)
@pytest.mark.parametrize(
    "case", [Case(protocol="filtering", lr="medium"), Case(protocol="filtering", lr="small")], ids=str
)
def test_filtering_keeps_the_capability(judge):
    """Trained on stories without a twist, the model still tells one where it is asked for it."""
    keeps(judge, share=0.40)  # Table 1 has .44 at the medium rate and .69 at the small one
