"""The page of all options, docs/options.md, made from the table."""

from __future__ import annotations

from collections.abc import Iterator

from capbench.session.options.row import PYTEST, Option
from capbench.session.options.table import GROUPS, options_of

_HEAD = """# Options

Options of pytest begin with `--capbench-`. The commands of `capbench` take the same options without that prefix: pytest's
`--capbench-scale=smoke` is `--scale=smoke` for `capbench plan`. Every command lists its own with `--help`.

`capbench plan`, `train`, `export` and `zoo build` collect tests as pytest does. Options in the project's `pytest.ini` or
`pyproject.toml` hold for them too; the command line comes first.

This page is made from the table of options: `python -m capbench.session.options docs/options.md`.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(line for title, rows in GROUPS.items() for line in _section(title, rows))])


def _section(title: str, rows: tuple[Option, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| option | of | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for option in rows:
        cells = (_typed(option), ", ".join(map(_taker, option.takers)), _default(option), _meaning(option))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _typed(option: Option) -> str:
    words = option.typed(option.takers[0])
    if not option.value:
        return f"`{words}`"
    return f"`{words}{' ' if len(option.name) == 1 else '='}{option.value}`"


def _taker(taker: str) -> str:
    return PYTEST if taker == PYTEST else f"`{taker}`"


def _default(option: Option) -> str:
    return f"`{option.default}`" if option.default is not None else option.otherwise


def _meaning(option: Option) -> str:
    parts: list[str] = []
    if option.repeatable:
        parts.append("repeatable")
    if option.required:
        parts.append("required")
    if option.needs:
        parts.append(f"needs {_named(option.needs, option)}")
    parts += [f"not with {_named(other, option)}: {why}" for other, why in option.excludes.items()]
    return ". ".join([option.help, *(part[0].upper() + part[1:] for part in parts)]) + "."


def _named(condition: str, option: Option) -> str:
    name, equals, value = condition.partition("=")
    taker = option.takers[0]
    other = next(o for o in options_of(taker) if o.name == name)
    return f"`{other.typed(taker)}{equals}{value}`"
