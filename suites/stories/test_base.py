"""Base models: do they tell the stories that they are asked for? (App. B.3)

Which events a story has is read from its text, exactly. Control: a model that never saw a twist tells none.
On stories of one's own a classifier says it, and is a control, too.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.stories.claims import base, knows_all
from capbench.studies.stories.thresholds import FOLLOWED, MORE, TOLD

pytestmark = pytest.mark.extended  # minutes a seed


@pytest.mark.claim("stories.base", source="App. B.3", study="stories", needs=base, uses_method=False)
@pytest.mark.parametrize("case", [Case()], ids=str)
def test_the_base_model_tells_what_it_is_asked_for(judge):
    """The base model tells a twist in nearly all stories that are asked for with one, and follows the blocks in all features."""
    knows_all(judge, target=TOLD, followed=FOLLOWED, more=MORE, never=0.15)  # Table 1: one that never saw it has .12
