"""Base models: do they have the capabilities that the other claims are about? (App. B.2, C.2; Table 5, 'pretrained')

Control: a model does not know an operand that it was never taught.
"""

import pytest

from capbench.studies.conditions import VALID
from capbench.studies.judge import Case
from capbench.studies.pcfg.readings import behaviour, families
from capbench.verdicts.claims import at_least
from capbench.verdicts.effects import worst


def needs(study, seed, case):
    return {"base": study.base(seed, prior=case.prior)}


@pytest.mark.claim("base.validity", source="App. B.2, C.2, Table 5", needs=needs, uses_method=False)
@pytest.mark.parametrize("case", [Case(prior="low"), Case(prior="high"), Case(prior="never")], ids=str)
def test_base_model_knows_what_it_was_taught(judge, case):
    """Every base model answers all task families for the operands it was taught, with and without the correlation."""
    judge.measure((families, ["base"]), (behaviour, ["base"]))
    study = judge.study
    taught, setting = study.taught(case.prior), study.setting
    names = {"a": "O_PT", "b": "O_FT"}
    asked = [f"base.{names[o]}.c_te{c}" for o in taught if o in names for c in (0, 1)]
    for family in setting.families:
        null = setting.family(family).operand == "null"
        asked += [f"base.{family}"] if null else [f"base.{family}.{o}" for o in taught]
    for operand, p in study.prior(case.prior).items():
        if p == 0:
            judge.control(f"operand {operand}, never taught", judge[f"base.C.{operand}"], high=0.9)
    lowest = worst(*(judge[name] for name in asked))
    judge.decide(at_least(lowest, VALID, f"accuracy on the worst of {len(asked)} families and operands"))
