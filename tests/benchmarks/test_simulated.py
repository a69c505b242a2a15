"""What `benchmarks/simulated.py` reads from a run, and what it says of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script that is run there

import simulated

SAID = """capbench: 37 of 37 models to make (28025 training steps), 2 at a time
capbench: models made in 61 s
capbench: a behaviour is lost in 1 of 3 tests that need more models where it is
capbench: 2 models made in 8 s; 1 could not be made
"""


def test_the_seconds_of_all_parts_are_added() -> None:
    assert simulated.seconds_made(SAID) == 69
    with pytest.raises(ValueError, match="no models were made: 'capbench: nothing'"):
        simulated.seconds_made("capbench: nothing")


def test_a_simulation_is_told_as_a_share_of_what_the_run_took() -> None:
    rows = simulated.rows_of(simulated.WAYS[1], made=80, own=76, before=100, models=37)
    assert [(row["value"], row["unit"]) for row in rows] == [(80, "s"), (95, "%"), (125, "%")]
    assert rows[1]["what"] == "37 models, 2 cores: simulated with its own times, share of that"
