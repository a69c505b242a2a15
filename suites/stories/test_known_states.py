"""Known states: do the tools judge story models rightly whose state is known?

Four models of each seed hide the twist: a bolted-on MLP puts forward the word of a story without one; the two words'
unembedding rows are swapped; adapters were trained on stories of Randomisation or of Mix & Match. Without the added part each is
the base model.
Four never had it: the same on a model that never saw a twist, or Filtering. One model is intact: its pretraining went on.
No threshold was set on any of them.

Controls: the base models tell twists. What a deleted model is compared with is of another seed.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.stories.known import needs
from capbench.studies.stories.known_claims import judged_rightly

pytestmark = pytest.mark.extended


@pytest.mark.claim("stories.calibration", source="Sec. 3, Def. 1-3", study="stories", needs=needs, uses_method=False)
@pytest.mark.parametrize("case", [Case()], ids=str)
def test_known_story_models_are_judged_rightly(judge):
    """Revival and patching tell hidden twists from twists that never were there, and no model is called the other."""
    judged_rightly(judge, base=0.95, area=0.95, share=0.75)
