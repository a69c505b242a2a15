"""Names of the commands that take options, and groups of them."""

from __future__ import annotations

from capbench.session.options.row import PYTEST

PLAN, TRAIN, EXPORT = "plan", "train", "export"
BUILD, VERIFY, TRACE, REKEY = "zoo build", "zoo verify", "zoo trace", "zoo rekey"
LS, SIZE, PRUNE, WHOLE = "cache ls", "cache size", "cache prune", "cache verify"
FIDELITY, CALIBRATE, CHECK, COMPARE = "fidelity", "calibrate", "check-method", "compare"
CHECK_CAPABILITY, CHECK_DATA, JUDGE = "check-capability", "check-data", "judge"
MAP = "map"
SUITES = (PYTEST, PLAN, TRAIN)  # those that ask for the models of tests and take all that shapes them
MAKERS = (*SUITES, EXPORT, BUILD, FIDELITY, CALIBRATE, MAP)
