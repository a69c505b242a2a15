"""Conditions of fine-tuning drawn by Hypothesis: how strongly, how long, on what data a method tries to delete."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from capbench.studies.deletion.conditions import BASES, Conditions

# What is usual stands first, so that cases shrink to it, and twice where most draws would be far from it.
_RATES = (1.0, 1.0, 3.0, 10.0, 30.0, 0.3)
_TIMES = (1.0, 1.0, 3.0, 10.0)


def conditions() -> SearchStrategy[Conditions]:
    """Cases of the deletion study on the paper's Counter, on the base models that come with the package.

    Drawn: the prior of O_FT, C_Tr, the answers (right, of other texts, constant), rate and duration, weight decay, the share of
    pretraining data among the texts, a second task after the first, the seed. Shrinks to the paper's low prior at C_Tr 1.
    """
    return st.builds(
        Conditions,
        prior=st.sampled_from(("low", "high")),
        c_tr=st.sampled_from((1, 0, 0.5)),
        answers=st.sampled_from(("", "", "random", "constant")),
        rate=st.sampled_from(_RATES),
        times=st.sampled_from(_TIMES),
        decay=st.sampled_from((None, None, 0.0, 1.0, 10.0)),
        mixing=st.sampled_from((0.0, 0.0, 0.05, 0.2)),
        then=st.sampled_from(("", "", "c")),
        seed=st.sampled_from(range(BASES)),
    )
