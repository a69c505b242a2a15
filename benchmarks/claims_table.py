"""The tables of reports/reference/results.md: `python benchmarks/claims_table.py reports/reference/results.md`.

Writes the claims of a kept run between each pair of markers `<!-- claims of RUN: made by benchmarks/claims_table.py -->` and
`<!-- /claims of RUN -->`. RUN is a folder beside the file. Trains nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from speed.tables import TableError

from capbench.errors import CapbenchError
from capbench.report import load
from capbench.report.markdown import escape, table
from capbench.report.words import answer, in_order, interval, number, threshold
from capbench.results import Record

BEGIN = "<!-- claims of {run}: made by benchmarks/claims_table.py -->"
END = "<!-- /claims of {run} -->"
_FIRST = re.compile(re.escape(BEGIN).replace(r"\{run\}", r"([\w./-]+)"))
HEAD = ("claim", "status", "effect", "95 % CI", "threshold", "margin", "reason and further conditions")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the claims of kept runs into a page, between its markers.")
    parser.add_argument("page", type=Path, metavar="FILE.md", help="the page; its runs are folders beside it")
    page: Path = parser.parse_args(argv).page
    try:
        page.write_text(filled(page.read_text(encoding="utf-8"), page.parent), encoding="utf-8")
    except (TableError, CapbenchError, OSError) as error:
        print(f"claims_table.py: {error}", file=sys.stderr)
        return 2
    return 0


def filled(text: str, folder: Path) -> str:
    """The page with every table made again. Raises TableError for a page without markers, or with one that has no end."""
    runs = _FIRST.findall(text)
    if not runs:
        raise TableError(
            f"no place for a table: write a line {BEGIN.format(run='RUN')!r} and below it {END.format(run='RUN')!r}"
        )
    for run in runs:
        begin, end = BEGIN.format(run=run), END.format(run=run)
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found or begin in after:
            raise TableError(f"the line {begin!r} must occur once, and below it {end!r}")
        text = f"{before}{begin}\n\n{claims(folder / run)}\n\n{end}{after}"
    return text


def claims(run: Path) -> str:
    """The answer of a run in one sentence, and a row for each of its claims."""
    results = load(run)
    rows = [_cells(record) for record in in_order(results.records)]
    return f"{escape(answer(results))}\n\n{table(HEAD, rows, numbers_from=2, numbers_to=6)}"


def _cells(record: Record) -> list[str]:
    v = record.verdict
    return [
        record.id,
        str(v.status),
        number(v.effect),
        interval(v.ci),
        threshold(v),
        number(v.margin, sign=True),
        v.reason,
    ]


if __name__ == "__main__":
    sys.exit(main())
