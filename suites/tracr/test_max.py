"""Tracr, Max-identifier: the sort of block 0 and the read-out of block 2, after fine-tuning from 5th to 7th (Fig. 44, 51-54).

The sort is judged as in the paper's figure, by block 0's attention maps (which letters a letter is compared with): their total
variation distance to the compiled model's. Whether the resulting places can still be read is reported beside it.
Controls: a model compiled for the 7th has the same sort, and reads the 7th place where the compiled model reads the 5th.
"""

import pytest

from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.readings import finetuning_curves
from capbench.studies.tracr.readings import behaviour, sorting
from capbench.verdicts.claims import at_least, at_most


def needs(study, seed, case):
    return {
        "base": study.base(seed),
        "tuned": study.finetuned(seed, c_tr=case.c_tr, lr=case.lr),
        "never": study.never(seed),
    }


def look(judge):
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]), (sorting, ["base", "tuned", "never"]))
    base_knows(judge, "base", "O_PT")
    judge.control("distance of block 0 of a model compiled for the 7th", judge["sort.never.distance"], high=0.05)
    judge.control("attention of the compiled model to the 5th place", judge["readout.base.O_PT"], low=0.8)
    judge.control("attention to the 7th place of a model compiled for it", judge["readout.never.O_FT"], low=0.8)


@pytest.mark.extended
@pytest.mark.claim("tracr.max.readout", source="Fig. 44, 51-54", study="tracr-max", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="very-small"), Case(c_tr=1, lr="very-small")], ids=str)
def test_tracr_max_changes_its_readout_and_keeps_the_sort(judge):
    """Fine-tuned at the very small rate, block 0 keeps its sort, and block 2 no longer reads the 5th place."""
    look(judge)
    # Round numbers: a quarter of the greatest distance, and most of the attention elsewhere. The first was fixed when the claim
    # was rewritten for maps, after the version for places had failed.
    judge.decide(
        at_most(judge["sort.tuned.distance"], 0.25, "distance of block 0's attention maps"),
        at_most(judge["readout.tuned.O_PT"], 0.50, "attention of block 2 to the 5th place"),
    )


@pytest.mark.extended
@pytest.mark.claim("tracr.max.sort", source="Fig. 44, 51-54", study="tracr-max", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="medium"), Case(c_tr=0, lr="small")], ids=str)
def test_tracr_max_distorts_the_sort_at_larger_rates(judge):
    """Fine-tuned at the medium or small rate, block 0 no longer sorts as it was compiled to."""
    look(judge)
    judge.decide(at_least(judge["sort.tuned.distance"], 0.25, "distance of block 0's attention maps"))  # the same bound
