"""The table of options: those of pytest, those of every `capbench` command, and the page docs/options.md come from it.

To add an option, add a row to a file of `rows/`. `Given.checked` gives its value under its name.
"""

from __future__ import annotations

from capbench.session.options.row import Option
from capbench.session.options.rows import machines, making, reporting, single, tested, variants

GROUPS: dict[str, tuple[Option, ...]] = {
    "What is tested": tested.ROWS,
    "Variants of tasks": variants.ROWS,
    "How models are made": making.ROWS,
    "What other machines would take": machines.ROWS,
    "What a run reports": reporting.ROWS,
    "Options of single commands": single.ROWS,
}


def options_of(taker: str) -> list[Option]:
    """The rows of a command, or of pytest, in the order of the table."""
    return [option for rows in GROUPS.values() for option in rows if taker in option.takers]
