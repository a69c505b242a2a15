"""Known states: do the tools, with the thresholds that were set on GPTs, judge known models of another architecture rightly?

Five models of each architecture hide the capability and five never had it, made as in the calibration's pool (suites/calibration)
on a seed of its untouched half. No threshold is set on them. An architecture whose models are judged rightly has calibrated
verdicts from then on (`capbench calibrate --tested`); of the others the report says that theirs are uncalibrated.

Controls: the hash is that of the rule in force; the base models, which are also what is left of a wrapped model without its
wrapper, have the capability.
"""

import pytest

from capbench.studies.calibration.claims import measured, none_called, right, told_apart
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.study import needs
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended

# The GPT's are in suites/calibration.
ARCHITECTURES = ("llama", "lstm", "gru", "convolution", "state-space", "linear-attention")


@pytest.mark.claim(
    "architectures.calibration", source="Sec. 3, Def. 1-3", study="calibration", needs=needs, uses_method=False
)
@pytest.mark.parametrize("case", [Case(architecture=name) for name in ARCHITECTURES], ids=str)
def test_architecture_is_judged_rightly(judge, case):
    """Revival and patching tell its wrapped from its deleted models, and none is called the other."""
    outcome = measured(judge, [Kind.WRAPPED, Kind.DELETED], base=0.95)
    judge.decide(
        told_apart(outcome, "revival", compiled=False, area=0.95),
        told_apart(outcome, "patching", compiled=False, area=0.95),
        none_called(outcome, ([Kind.WRAPPED], ["deleted", "destroyed"]), ([Kind.DELETED], ["intact", "wrapped"])),
        right(outcome, share=0.75),
    )
