"""Base models: do they have the capabilities that every other claim is about? (App. C.2; Table 5, 'pretrained')

Control: an operand that a model was not taught must not come out as known.
"""

import pytest

from capbench.claims import at_least
from capbench.judge import Case
from capbench.protocols.conditions import VALID
from capbench.protocols.pcfg_readings import taught_operands


def needs(study, seed, case):
    return {"base": study.base(seed, prior=case.prior)}


@pytest.mark.claim("base.validity", source="App. C.2, Table 5", needs=needs, uses_method=False)
@pytest.mark.parametrize("case", [Case(prior="low"), Case(prior="high"), Case(prior="never")], ids=str)
def test_base_model_counts_what_it_was_taught(judge, case):
    """Every base model counts the operands that it was taught, on strings with and without the correlation."""
    judge.measure((taught_operands, ["base"]))
    taught = judge.study.taught(case.prior)
    worst = [
        min(values) for values in zip(*(judge[f"base.C.{o}.c_te{c}"] for o in taught for c in (0, 1)), strict=True)
    ]
    for operand in judge.study.prior(case.prior):
        if judge.study.prior(case.prior)[operand] == 0:
            judge.control(f"operand {operand}, never taught", judge[f"base.C.{operand}"], high=0.9)
    judge.require(
        min(worst) >= VALID, f"a base model reaches {min(worst):.3f} on what it was taught, {VALID} is needed"
    )
    judge.decide(at_least(worst, VALID, f"accuracy on the worst of {', '.join(taught)}"))
