"""Claims that were tried on variants of their task: the tally, each variant, and how to try the simplest refuted one again."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capbench.report.terminal import GAP, WIDTH, table_width, tabulated
from capbench.report.words import DASH, in_order, interval, line, methods, number
from capbench.results import Record, Results, RunInfo, Status, Trial, to_dict

HEAD = ("variant", "status", "effect", "margin", "what sets it apart")
ORDER = (Status.SUPPORTED, Status.INCONCLUSIVE, Status.REFUTED, Status.INVALID)
REASON_LINES = 2  # of a terminal, for why a variant is invalid
ARGUMENTS = re.compile(r"\((?=[A-Za-z_]\w*=)(.*)\)$")  # behind a method's name
FLAT = re.compile(r"\[(\n[^\[\]{}]*)\]")  # in JSON; no string there holds a line break
NEXT = re.compile(r",(?=[A-Za-z_]\w*=)")  # between two of them


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A record with trials. title: the claim, with its method where the run has several. tally: of the drawn variants, in words.

    counts: of the drawn variants by status, without those that none has. simplest: the simplest variant on which the
    claim is refuted, if any; again: the command that tries it again.
    """

    record: Record
    title: str
    tally: str
    counts: tuple[tuple[Status, int], ...]
    simplest: Trial | None
    again: str


def tried(results: Results) -> list[Tried]:
    """Every record that was tried on variants, in the order of the claim table."""
    several = len(methods(results)) > 1
    return [_tried(record, results.run, several) for record in in_order(results.records) if record.trials]


def variant_table(results: Results) -> str:
    """For a terminal: tally, a row per variant, and the simplest refuted one; '' where no claim was tried on variants."""
    return "\n\n".join(map(_terminal, tried(results)))


def variant_rows(record: Record) -> list[list[str]]:
    """Text cells under HEAD, a row per trial; the last cell is not folded and gives the reason where the variant is invalid."""
    return [[*_numbers(t), ": ".join(filter(None, [_words(t), line(_why(t))]))] for t in record.trials]


def origin(trial: Trial) -> str:
    """Where a variant comes from if it was not drawn."""
    return f"simpler than {line(trial.shrunk_from)}" if trial.shrunk_from else ""


def specification(found: Mapping[str, Any]) -> str:
    """A whole variant or task as indented JSON, a list of plain values on one line."""
    text = json.dumps(to_dict(found), indent=1, ensure_ascii=False)
    return FLAT.sub(lambda found: "[" + re.sub(r"\n *", " ", found[1].strip()) + "]", text)


def _tried(record: Record, run: RunInfo, several: bool) -> Tried:
    drawn = Counter(trial.status for trial in record.trials if not trial.shrunk_from)
    refuted = [trial for trial in record.trials if trial.status is Status.REFUTED]
    simplest = next((trial for trial in refuted if trial.simplest), refuted[0] if refuted else None)
    return Tried(
        record=record,
        title=line(record.id) + (f", method {line(record.method)}" if several and record.method else ""),
        tally=_tally(record, drawn),
        counts=tuple((status, drawn[status]) for status in ORDER if drawn[status]),
        simplest=simplest,
        again=_again(record, simplest, run) if simplest else "",
    )


def _tally(record: Record, drawn: Counter[Status]) -> str:
    """As in `9 of 11 supported, 0.82 [0.52, 0.95]; 2 refuted; 1 invalid, not counted`."""
    verdict, invalid = record.verdict, drawn[Status.INVALID]
    decided = drawn.total() - invalid
    share = "" if verdict.effect is None else f", {number(verdict.effect)} {interval(verdict.ci)}"
    known = f"{drawn[Status.SUPPORTED]} of {decided} supported{share}" if decided else "none could be tested"
    others = ", ".join(f"{drawn[status]} {status}" for status in (Status.REFUTED, Status.INCONCLUSIVE) if drawn[status])
    left_out = f"{invalid} invalid, not counted" if invalid else ""
    return "; ".join(filter(None, [known, others, left_out]))


def _again(record: Record, trial: Trial, run: RunInfo) -> str:
    """The command that tries the claims of the same file on this variant. Options at their defaults are omitted."""
    given = ["pytest", *_file(record, run), f"--capbench-replay={trial.id}"]
    if run.scale != "small":
        given.append(f"--capbench-scale={run.scale}")
    arguments = ARGUMENTS.search(record.method)
    method = ARGUMENTS.sub("", record.method)
    if method not in ("", "full"):
        # A report names a method without its folders; the run's own command says where it is.
        place = re.search(rf"--capbench-method[= ]((?:\S*/)?{re.escape(method)})(?=\s|$)", run.command)
        given.append(f"--capbench-method={place[1] if place else method}")
    given += [f"--capbench-method-arg={each}" for each in NEXT.split(arguments[1])] if arguments else []
    return line(shlex.join(given))


def _file(record: Record, run: RunInfo) -> list[str]:
    """The file of a claim as an argument of pytest; a module if the run named the suites so, without a clone."""
    file = record.nodeid.partition("::")[0]
    if "--pyargs" in run.command.split() and file.startswith("suites/"):
        return ["--pyargs", f"capbench.{file.removesuffix('.py').replace('/', '.')}"]
    return [file]


def _numbers(trial: Trial) -> list[str]:
    return [line(trial.id), str(trial.status), number(trial.effect), number(trial.margin, sign=True)]


def _words(trial: Trial) -> str:
    return line(": ".join(filter(None, [origin(trial), trial.words])))


def _why(trial: Trial) -> str:
    return (trial.reason or DASH) if trial.status is Status.INVALID else ""


def _terminal(found: Tried) -> str:
    cells = [_numbers(trial) for trial in found.record.trials]
    room = WIDTH - GAP - table_width(HEAD[:-1], cells)
    last = [_short(trial, room) for trial in found.record.trials]
    rows = [[*row, words] for row, words in zip(cells, last, strict=True)]
    parts = [f"{found.title}: {found.tally}", tabulated(HEAD, rows, right=range(2, 4))]
    if found.simplest is not None:
        words = f"simplest refuted: {line(found.simplest.words)}"
        parts += [textwrap.fill(words, WIDTH, subsequent_indent="  "), f"try it again: {found.again}"]
    return "\n".join(parts)


def _short(trial: Trial, room: int) -> str:
    words = textwrap.shorten(_words(trial), room, placeholder=" …")
    why = textwrap.wrap(line(_why(trial)), room - 2, max_lines=REASON_LINES, placeholder=" …")
    return "\n".join([words, *(f"  {part}" for part in why)])
