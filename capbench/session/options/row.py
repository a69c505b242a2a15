"""What is known of an option: one row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PYTEST = "pytest"  # the taker whose options have a prefix


def as_given(option: str, given: Any) -> Any:
    """The type of an option that may be any text."""
    return given


@dataclass(frozen=True, kw_only=True)
class Option:
    """One row of the table.

    name: without dashes and prefix. takers: the commands that take it, `pytest` among them. value: stands for its value in help
    texts; '' for a flag. type: from the option as typed and its text (a list, if repeatable) to what is meant; raises UsageError.
    default: as a user would type it; where there is none, otherwise: what holds without the option, in words.
    excludes: options that it cannot be combined with, each with the reason. needs: an option without which it means nothing.
    Both may name a value, as in `executor=ray`. foreign: another plugin gives it to pytest.
    """

    name: str
    help: str
    takers: tuple[str, ...]
    value: str = ""
    type: Callable[[str, Any], Any] = as_given
    default: str | None = None
    otherwise: str = ""
    repeatable: bool = False
    required: bool = False
    excludes: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    foreign: bool = False

    def typed(self, taker: str) -> str:
        """As its user types it: --capbench-scale for pytest, --scale for a command, -k where one letter is the name."""
        dashes = "-" if len(self.name) == 1 else "--"
        return f"--capbench-{self.name}" if taker == PYTEST and not self.foreign else f"{dashes}{self.name}"

    def attribute(self, taker: str) -> str:
        """Where argparse, and pytest, puts its value."""
        return self.typed(taker).lstrip("-").replace("-", "_")

    @property
    def ends(self) -> str:
        """The end of its help: what holds without it, and whether it can be given again."""
        without = self.default if self.default is not None else self.otherwise
        parts = [f"default: {without}" if without else "", "required" if self.required else ""]
        parts.append("repeatable" if self.repeatable else "")
        return f" ({'; '.join(filter(None, parts))})" if any(parts) else ""
