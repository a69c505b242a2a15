"""Terminal tables: the capability verdicts and the claims of a run, in plain text of at most 100 columns."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence

from capbench.report.words import (
    DASH,
    PROVISIONAL,
    answer,
    brief,
    by_seed,
    collateral,
    expectation,
    in_order,
    interval,
    line,
    methods,
    number,
    seeds,
    state,
    subject,
    threshold,
    treatment,
    why,
)
from capbench.results import Capability, Record, Results, Status

WIDTH = 100
METHOD = 22  # columns for a method's name before it is folded
MODEL = 34  # for a model and its case
REASON_LINES = 3  # for why a claim is not supported; the report has it whole
STAR = "*"  # marks what is provisional, as the word would cost every row a line
SHORT = 18  # for a state and what belongs to it
GAP = 2  # columns between two cells, and around a head, in tabulate's 'simple' format


def claim_table(results: Results) -> str:
    """One row per record: status, effect with interval, threshold and margin; beneath, how the intervals were found.

    Names the scale in its first line.
    """
    title = f"claims at scale {line(results.run.scale)}, {seeds(results.run.seeds)}"
    if not results.records:
        return f"{title}\nnothing was measured"
    head, rows = claim_rows(results, mark=STAR)
    if "method" in head:
        rows = [[row[0], fold(row[1], METHOD), *row[2:]] for row in rows]
    rest = table_width(head[1:], [row[1:] for row in rows])
    room = max(24, WIDTH - GAP - rest)
    rows = [[fold(row[0], room), *row[1:]] for row in rows]
    table = tabulated(head, rows, right=range(head.index("effect"), len(head)))
    return "\n".join([title, table, *_notes(results.records)])


def capability_table(results: Results) -> str:
    """One row per capability verdict, its reason beneath. Names the scale, and the only method, in its first line."""
    title = f"capabilities at scale {line(results.run.scale)}"
    if not results.capabilities:
        return f"{title}\nno capability was judged"
    names = list(dict.fromkeys(item.method for item in results.capabilities))
    several = len(names) > 1
    head, rows = capability_rows(results)
    head = ["model", *(["method"] if several else []), *head[3:]]
    cells = []
    for item, (_, _, method, *rest) in zip(results.capabilities, rows, strict=True):
        whose = [_model(item), *([fold(method, METHOD)] if several else [])]
        cells.append([*whose, *map(_parted, rest[:-1])])
    table = iter(tabulated(head[:-1], cells).split("\n"))
    shown = [next(table), next(table)]
    for row, whole in zip(cells, rows, strict=True):
        shown += [next(table) for _ in range(max(cell.count("\n") for cell in row) + 1)]
        shown.append(textwrap.fill(whole[-1], WIDTH, initial_indent="    ", subsequent_indent="    "))
    return "\n".join([f"{title}{'' if several else f', method {line(names[0])}'}", *shown])


def claims_in_short(results: Results) -> str:
    """The claims that are not supported, the worst first, each with its reason; then how many are.

    Names the scale in its first line, as `claim_table`, which has all claims and their numbers.
    """
    title = f"claims at scale {line(results.run.scale)}, {seeds(results.run.seeds)}"
    if not results.records:
        return f"{title}\nnothing was measured"
    several = len(methods(results)) > 1
    parts = [title]
    for status in (Status.INVALID, Status.REFUTED, Status.INCONCLUSIVE):
        for record in in_order(results.records):
            if record.verdict.status is status:
                parts.append(_unsupported(record, several))
    return "\n".join([*parts, answer(results)])


def claim_rows(results: Results, *, mark: str = f" ({PROVISIONAL})") -> tuple[list[str], list[list[str]]]:
    """Head and text cells of the claim table; the method is a column only where the run has several.

    mark: what follows the status of a provisional verdict.
    """
    several = len(methods(results)) > 1
    head = ["claim", *(["method"] if several else []), "status"]
    head += ["effect", "95 % CI", "threshold", "margin", "seeds"]
    rows = []
    for record in in_order(results.records):
        method = [line(record.method)] if several else []
        status = f"{record.verdict.status}{mark if record.verdict.provisional else ''}{expectation(record)}"
        rows.append([line(record.id), *method, status, *_numbers(record)])
    return head, rows


def capability_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and text cells of the capability table; the states by seed are a column only where a model has several seeds."""
    several = any(len(item.per_seed) > 1 for item in results.capabilities)
    head = ["model", "protocol", "method", "verdict", *(["by seed"] if several else [])]
    head += ["collateral", "fine-tuned task", "reason"]
    rows = []
    for item in results.capabilities:
        words = [subject(item), treatment(item), item.method, state(item), *([by_seed(item)] if several else [])]
        words += [collateral(item), str(item.finetuned or DASH), item.reason or DASH]
        rows.append([line(word) for word in words])
    return head, rows


def fold(name: str, width: int) -> str:
    """A claim id or method on as many lines as it needs, broken before '[' and after ',', '/' and ':' where possible."""
    lines = [""]
    for piece in re.split(r"(?<=[,/:])|(?=\[)", name):
        parts = textwrap.wrap(piece, width - 2, break_on_hyphens=False, drop_whitespace=False) or [""]
        for part in parts:
            if len(lines[-1]) + len(part) <= width:
                lines[-1] += part
            else:
                lines.append("  " + part)
    return "\n".join(lines).lstrip()


def table_width(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Width, in terminal columns, of what `tabulated` gives."""
    columns = zip(*rows, strict=True)
    widths = [
        max(len(name) + GAP, *(len(part) for cell in column for part in cell.split("\n")))
        for name, column in zip(head, columns, strict=True)
    ]
    return sum(widths) + GAP * (len(widths) - 1)


def tabulated(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A table for a terminal. right: the right-aligned columns."""
    from tabulate import tabulate

    align = ["right" if i in right else "left" for i in range(len(head))]
    return tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True, colalign=align)


def _unsupported(record: Record, several: bool) -> str:
    """A claim with its status, and beneath it why it is not supported."""
    verdict = record.verdict
    status = f"{verdict.status}{STAR if verdict.provisional else ''}{expectation(record)}"
    whose = f", method {line(record.method)}" if several and record.method else ""
    head = fold(f"{line(record.id)}{whose}", WIDTH - len(status) - GAP).replace("\n", "\n" + " " * (len(status) + GAP))
    reason = textwrap.wrap(line(why(verdict)), WIDTH - 4, max_lines=REASON_LINES, placeholder=" …")
    return "\n".join([f"{status}  {head}", *(f"    {part}" for part in reason)])


def _model(item: Capability) -> str:
    """A model and its case on lines of their own, without the numbers behind the case's names."""
    name, case = line(f"{item.model}, {item.task}"), line(item.id.removeprefix(item.task))
    return f"{textwrap.fill(name, MODEL)}\n{textwrap.indent(fold(case, MODEL - 2), '  ')}"


def _parted(cell: str) -> str:
    """A short cell with each of its parts on a line."""
    return "\n".join(textwrap.fill(part, SHORT) for part in cell.replace(", ", ",\n").split("\n"))


def _notes(records: Sequence[Record]) -> list[str]:
    """What the marks mean, and how the intervals were found, in short: `intervals: moderated t (9), Wilson's (1)`."""
    marked = any(record.verdict.provisional for record in records)
    ways = Counter(brief(record.verdict.how) for record in records if record.verdict.how and record.verdict.ci)
    notes = [f"{STAR} {PROVISIONAL}: from one seed"] if marked else []
    if ways:
        said = f"intervals: {', '.join(f'{line(way)} ({n})' for way, n in ways.most_common())}"
        notes += textwrap.wrap(said, WIDTH, subsequent_indent="  ")
    return notes


def _numbers(record: Record) -> list[str]:
    verdict = record.verdict
    effect, margin = number(verdict.effect), number(verdict.margin, sign=True)
    return [effect, interval(verdict.ci), threshold(verdict), margin, str(verdict.n_seeds)]
