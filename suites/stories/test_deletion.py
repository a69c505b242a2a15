"""Wrong instruction blocks hide what filtering leaves (Sec. 5.2, Table 1).

Mix & Match calls another event by the name of the twist; Randomisation asks for a twist where there is none. Table 1 has .12 of
stories with a twist after Randomisation, .31 and .50 after Mix & Match, .44 and .69 after Filtering. The difference that is asked
for here is larger than the paper's own (.13 and .19): a paid model that judges leaves .12 of stories with a twist where there can
be none, the checker none. On stories of one's own a classifier judges as in the paper, and .10 is asked for.
Control: the base model tells a twist where it is asked for one.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.stories.claims import all_protocols, hides
from capbench.studies.stories.thresholds import Either

pytestmark = pytest.mark.extended  # minutes a seed


@pytest.mark.claim("stories.deletion.hides", source="Sec. 5.2, Table 1", study="stories", needs=all_protocols)
@pytest.mark.parametrize("case", [Case(lr="medium"), Case(lr="small")], ids=str)
def test_wrong_blocks_hide_the_capability(judge):
    """After Randomisation hardly any story has a twist, and after Mix & Match far fewer than after Filtering."""
    hides(judge, randomised=0.20, below_filtering=Either(checker=0.30, classifier=0.10))
