"""Options: variants of tasks."""

from __future__ import annotations

from capbench.session.options import values
from capbench.session.options.row import PYTEST, Option
from capbench.session.options.takers import SUITES

ROWS = (
    Option(
        name="variants",
        value="N",
        takers=SUITES,
        type=values.count,
        otherwise="12 where claims beyond the core are run, else none",
        help="also try claims on N variants of their task, drawn by Hypothesis, the same ones each time",
    ),
    Option(
        name="variants-minutes",
        value="MINUTES",
        takers=SUITES,
        type=values.minutes,
        default="12",
        help="begin no training for a variant that would not end in this time, nor any after it in the order of the draw",
    ),
    Option(
        name="replay",
        value="ID",
        takers=(PYTEST,),
        type=values.names,
        repeatable=True,
        help="try the claims on this variant of an earlier run instead",
    ),
    Option(
        name="hypothesis-seed", value="SEED", takers=SUITES, foreign=True, otherwise="0", help="draw other variants"
    ),
)
