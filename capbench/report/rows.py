"""Tables for a notebook: a list of dicts, which pandas takes as it is and a notebook shows as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from capbench.errors import UsageError
from capbench.report.words import number

SHOWN = 30  # rows that a notebook shows


class Rows(list[dict[str, Any]]):
    """Rows with the same columns, in the same order; None where there is no value."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Columns that some rows lack are None in them."""
        found = [dict(row) for row in rows]
        columns = list(dict.fromkeys(name for row in found for name in row))
        super().__init__({name: row.get(name) for name in columns} for row in found)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self[0]) if self else ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame. UsageError without pandas."""
        try:
            import pandas
        except ImportError:
            raise UsageError(
                "to_pandas needs pandas: pip install pandas; without it, the rows are a list of dicts"
            ) from None
        return pandas.DataFrame(list(self), columns=list(self.columns))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in self[:SHOWN]
        )
        more = f"<p>{len(self) - SHOWN} more rows</p>" if len(self) > SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    return number(value) if value is None or isinstance(value, float) else escape(str(value))
