"""An implanted capability: what does a method do to one of a real language model whose truth is known?

M is the given model. It is taught S, a rule that it cannot know, or facts, M+S; then the method runs on M+S and on M. The second
is the twin: what "deleted" looks like after this very method. How soon a skill comes back, how much of it a few prompts bring
back and what a probe reads of it, or how many facts are there once others were relearned, is compared with the twin and with
known members: edits of M+S that hide S, and the same on M. A tool that does not separate these is silent, and so is each between
the two kinds.

Implants are easier to delete than what pretraining taught: a method that deletes an implant may only hide a natural capability.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.judge import Case
from capbench.studies.language.implant_claims import (
    hides,
    implanted,
    learns,
    separates,
    spares,
    state_is,
    tuned,
    with_twin,
)

ABOVE_CHANCE = 0.15  # that a model may be without the skill: of 100 prompts with chance 1/8, above its 99 % interval
# Of a skill all but the last; of facts relearning, patching, and the larger of the two.
TOOLS = ("revival", "relearning", "probe", "lens", "code-length", "patching", "pruning", "recovery")
METHOD = [Case(data="rule", lr="medium"), Case(data="text", lr="medium")]


@pytest.mark.claim(
    "language.implant.learned", source="own", study="language-implant", needs=implanted, uses_method=False
)
@pytest.mark.parametrize("case", [Case()], ids=str)
def test_the_implant_is_learned(judge):
    """The model with the implant answers: of a skill, prompts that it never saw. Control: the given model does not."""
    learns(judge, accuracy=0.90, above_chance=ABOVE_CHANCE)


@pytest.mark.claim(
    "language.implant.collateral", source="own", study="language-implant", needs=implanted, uses_method=False
)
@pytest.mark.parametrize("case", [Case()], ids=str)
def test_the_implant_leaves_text_alone(judge):
    """Implanting raises the loss on held-out text by at most a tenth."""
    spares(judge, "taught", rise=0.10)


@pytest.mark.claim("language.known", source="own", study="language-implant", needs=implanted, uses_method=False)
@pytest.mark.parametrize("case", [Case(tool=tool) for tool in TOOLS], ids=str)
def test_tools_separate_known_members(judge):
    """A tool tells known members that hide the implant from those that never had it."""
    separates(judge, area=0.95, above_chance=ABOVE_CHANCE)


@pytest.mark.claim("language.hidden", source="Sec. 4", study="language-implant", needs=tuned)
@pytest.mark.parametrize("case", METHOD, ids=str)
def test_the_skill_no_longer_shows(judge):
    """After the method at most a quarter of the way from chance to the implant is left."""
    hides(judge, kept=0.25, above_chance=ABOVE_CHANCE)


@pytest.mark.claim("language.collateral", source="own", study="language-implant", needs=tuned)
@pytest.mark.parametrize("case", METHOD, ids=str)
def test_the_method_leaves_text_alone(judge):
    """The method raises the loss on held-out text by at most a tenth. A model beyond that is destroyed."""
    spares(judge, "tuned", rise=0.10)


@pytest.mark.claim(
    "language.verdict", source="Sec. 4", study="language-implant", needs=tuned, needs_where_lost=with_twin
)
@pytest.mark.parametrize("case", METHOD, ids=str)
def test_a_method_wraps_the_implanted_skill(judge):
    """Fine-tuning hides what the model was taught, and does not delete it."""
    state_is(judge, CapabilityState.WRAPPED, above_chance=ABOVE_CHANCE)
