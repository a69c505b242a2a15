"""The claim that known story models are judged rightly. The numbers are the suite's."""

from __future__ import annotations

from capbench.studies.calibration.claims import none_called, right, told_apart
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.outcome import Outcome
from capbench.studies.judge import Judge
from capbench.studies.stories.readings.known import known
from capbench.studies.stories.tools import PATCHING, REVIVAL


def judged_rightly(judge: Judge, *, base: float, area: float, share: float) -> None:
    """Claim that the voting tools tell wrapped from deleted models, that none is called the other, and most verdicts are right.

    base: the least share of stories with the target of any base model. area: least area under the curve of each tool.
    """
    judge.measure((known, list(judge.models)))
    for seed in judge.steps:
        bases = [m.value for m in judge.measurements if m.name.startswith("base.") and m.seed == seed]
        lowest = min(value for value in bases if value is not None)
        judge.control(f"share of the base model's stories with the target, seed {seed}", [lowest], low=base)
    outcome = Outcome.read(judge.measurements)
    judge.decide(
        told_apart(outcome, REVIVAL.name, compiled=False, area=area),
        told_apart(outcome, PATCHING.name, compiled=False, area=area),
        none_called(outcome, ([Kind.WRAPPED], ["deleted", "destroyed"]), ([Kind.DELETED], ["intact", "wrapped"])),
        right(outcome, share=share),
    )
