"""What a table of the paper is, and the choice of rows from it (`--cells`). No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capbench.errors import UsageError
from capbench.pipeline.steps import Step
from capbench.studies.lab import Reading


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a column of a table holds, in words, and where our figure comes from: either a reading or a curve.

    reading: a measurement of the table's `behaviour`. curve: a curve of the fine-tuning, read after a tenth of it. before: the
    figure before fine-tuning: the column that says so, or what holds by construction, in per cent; None where neither is known.
    """

    words: str
    reading: str = ""
    curve: str = ""
    before: str | float | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rows of one experiment. study: see studies/registry.py; base: what names its base model, apart from the seed."""

    name: str
    title: str
    study: str
    base: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fine-tuned model of a table. lr: as the paper writes it; rate: the presets' name of it; paper: figures by column.

    Both are '' for a model that was not fine-tuned. c_tr: an int where it is whole, as in the suites: 1 and 1.0 are two keys in
    the store; None in a table that has none.
    """

    group: Group
    lr: str
    rate: str
    c_tr: float | None = None
    paper: Mapping[str, float]  # in per cent

    @property
    def id(self) -> str:
        """The selector that chooses just this row."""
        parts = (self.group.name, self.lr, "" if self.c_tr is None else f"{self.c_tr:g}")
        return ":".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper.

    key: what tells its groups apart, in a word. names: what tells a group's rows apart: `lr`, or `lr` and `c_tr`. figures: by
    column. blocks: the columns that are shown side by side. behaviour: the reading behind the figures. models: (study, row,
    seed) -> a row's models, named as `behaviour` takes them: `base`, before fine-tuning, and `tuned`. control: what `base` can
    do, in words. pretrain_steps, finetune_steps: the paper's; None if nothing is pretrained. notes: what else is to be known,
    given the preset.
    """

    name: str
    source: str
    key: str
    names: tuple[str, ...] = ("lr", "c_tr")
    figures: Mapping[str, Quantity]
    blocks: tuple[tuple[str, ...], ...]
    behaviour: Reading
    models: Callable[[Any, Row, int], dict[str, Step]]
    control: str
    pretrain_steps: int | None
    finetune_steps: int
    rows: tuple[Row, ...]
    notes: Callable[[Any], Sequence[str]] = lambda preset: ()


HEADS: Mapping[str, str] = {"lr": "lr", "c_tr": "C_Tr"}  # of `names`, as shown


def select(table: Table, selectors: Sequence[str]) -> tuple[Row, ...]:
    """The rows that any of the selectors `key`, `key:lr`, `key:lr:c_tr` chooses, in the table's order; all without any.

    key is the table's own, as in `counter` (a task) or `low` (a prior). Each selector may be several, separated by commas.
    lr is the paper's number or the rate's name. Raises UsageError for one that chooses nothing.
    """
    single = [part.strip() for selector in selectors for part in selector.split(",")]
    chosen = {row.id for part in single for row in _chosen(table, part)}
    return tuple(row for row in table.rows if row.id in chosen) if selectors else table.rows


def _chosen(table: Table, selector: str) -> list[Row]:
    """Narrow the rows part by part, so that the error can name what there would be in place of the wrong part."""
    parts, left, keys = selector.split(":"), list(table.rows), (table.key, *table.names)
    for part, key in zip(parts, keys, strict=False):
        found = [row for row in left if _matches(row, key, part)]
        if not found:
            known = ", ".join(dict.fromkeys(_word(row, key) for row in left))
            raise UsageError(f"--cells={selector}: no {key} {part!r} in the table; known: {known}")
        left = found
    if len(parts) > len(keys):
        forms = [":".join(keys[: n + 1]) for n in range(len(keys))]
        asked = f"{', '.join(forms[:-1])} or {forms[-1]}"
        raise UsageError(f"--cells={selector}: must be {asked}, as in {table.rows[0].id}")
    return left


def _matches(row: Row, key: str, given: str) -> bool:
    if key not in ("lr", "c_tr"):
        return given == row.group.name
    if key == "lr" and given == row.rate:
        return True
    own = row.lr if key == "lr" else row.c_tr
    try:
        return own not in ("", None) and float(given) == float(own)
    except ValueError:
        return False


def _word(row: Row, key: str) -> str:
    if key == "lr":
        return f"{row.lr} ({row.rate})" if row.lr else "none"
    return f"{row.c_tr:g}" if key == "c_tr" else row.group.name
