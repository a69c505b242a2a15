"""Templates of prompts and answers: text with the names of fields in braces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from capbench.errors import UsageError


@dataclass(frozen=True)
class Template:
    """text: as a user writes it, {field} for a field and {{ for a brace."""

    text: str

    def __post_init__(self) -> None:
        try:
            parts = list(Formatter().parse(self.text))
        except ValueError as error:
            raise UsageError(f"template {self.text!r}: {error}; a brace that is meant is written twice") from None
        for _, name, spec, conversion in parts:
            if name is not None and (not name.isidentifier() or spec or conversion):
                raise UsageError(f"template {self.text!r}: braces must hold the name of a field alone, as in {{name}}")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, each once."""
        return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(self.text) if name is not None))

    def filled(self, values: Mapping[str, str]) -> str:
        """Raises UsageError for a field that has no value."""
        for name in self.fields:
            if name not in values:
                raise UsageError(f"no field {name!r}, which {self.text!r} needs; it has {', '.join(values) or 'none'}")
        return self.text.format_map(values)
