"""Options: what a run reports, and what it is held against."""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import PYTEST, Option
from capbench.session.options.takers import COMPARE, FIDELITY, TRAIN

ROWS = (
    Option(name="report", value="DIR", takers=(PYTEST,), help="write a report of this run below DIR"),
    Option(
        name="report",
        value="DIR",
        takers=(FIDELITY,),
        help="write fidelity-TABLE.json and fidelity-TABLE.md into DIR",
    ),
    Option(
        name="log",
        value="WHERE",
        takers=(PYTEST, TRAIN),
        type=values.loggers,
        repeatable=True,
        help="tell the curves of the models while they are made, and the verdicts at the end, to tensorboard:DIR, or to a "
        "logger of your own, file.py:attr or pkg.mod:attr",
    ),
    Option(
        name="quiet",
        takers=(PYTEST, TRAIN),
        type=values.flag,
        help="do not say how far the run is: no bar on a terminal, and no line a minute elsewhere",
    ),
    Option(
        name="expect",
        value="WHAT",
        takers=(PYTEST,),
        type=values.expectations,
        default="paper",
        help="what to expect of the method: paper, preserve, delete, or a TOML file of claims and verdicts",
    ),
    Option(
        name="baseline",
        value="DIR",
        takers=(PYTEST,),
        help="compare with that run (its folder or results.json) and fail on a regression; auto: with the run kept in "
        "baseline/ below the report directory, or keep this one if there is none",
    ),
    Option(
        name="baseline-save",
        takers=(PYTEST,),
        type=values.flag,
        needs="baseline=auto",
        help="keep this run in place of that one",
    ),
    Option(
        name="fail-on",
        value="WHAT",
        takers=(PYTEST, COMPARE),
        type=values.regressions,
        repeatable=True,
        default="verdict",
        needs="baseline",
        help="what counts as a regression, by more than rounding can do and never from one seed. verdict: a capability "
        "verdict, fine-tuned state or collateral damage changed, or a claim's status got worse; status: only the latter; "
        "margin:-0.05: a claim's margin fell by more than that; none",
    ),
)
