"""The table of benchmarks/RESULTS.md, from the JSON files of the benchmarks. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

BEGIN, END = "<!-- benchmarks: made by benchmarks/table.py -->", "<!-- /benchmarks -->"
NO_GPU = "No GPU figures yet: this version was measured on a CPU only."


class TableError(Exception):
    """What is wrong with a file, in one line."""


def reduced(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the table needs of a file by pytest-benchmark or by another script here: no paths and no names."""
    if "benchmarks" not in found:
        if not {"machine", "rows"} <= found.keys():
            raise TableError(
                "neither pytest-benchmark's JSON nor that of growth.py, gpu.py, precision.py, faults.py: no 'machine' with 'rows'"
            )
        return {
            key: found[key] for key in ("machine", "rows", "missing", "growth", "precision", "faults") if key in found
        }
    rows = [line for benchmark in found["benchmarks"] for line in benchmark["extra_info"].get("rows", [])]
    machine = found["machine_info"].get("capbench")
    if machine is None:
        raise TableError("pytest-benchmark's JSON without machine_info.capbench: made by another conftest.py")
    return {"machine": machine, "rows": rows}


def table(files: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a table for each machine and date, in the order of the files; and whether there are GPU figures."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    missing: list[str] = []
    for file in files:
        parts.setdefault(in_words(file["machine"]), []).extend(file["rows"])
        missing += [f"Not measured: {part} ({why})." for part, why in file.get("missing", {}).items()]
    blocks = [f"{where}\n\n{_rows(rows)}" for where, rows in parts.items() if rows]
    if not any(file["machine"].get("gpu") for file in files):
        missing.append(NO_GPU)
    return "\n\n".join([*blocks, *missing])


def in_words(machine: Mapping[str, Any]) -> str:
    """One line about where and when."""
    cores = machine["cores"]
    parts = [
        machine.get("gpu") or "",
        f"{machine['cpu']}, {cores} core{'s' * (cores != 1)}",
        machine.get("vectors") or "",
    ]
    versions = f"Python {machine['python']}, torch {machine['torch']}"
    commit = f", commit {machine['commit']}" if machine.get("commit") else ""
    return f"{'; '.join(filter(None, parts))}; {versions}; {machine['date']}{commit}:"


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was measured, and apart from it what was fitted: their spreads are not the same thing."""
    measured = [_cells(line, _quartiles(line)) for line in rows if "error" not in line]
    fitted = [_cells(line, _number(line["error"], digits=2)) for line in rows if "error" in line]
    tables = ((measured, "median", "quartiles"), (fitted, "fitted", "standard error"))
    return "\n\n".join(
        tabulate(lines, headers=["part", "what", *of, "aim"], tablefmt="github", disable_numparse=True)
        for lines, *of in tables
        if lines
    )


def _cells(line: Mapping[str, Any], spread: str) -> list[str]:
    unit = f" {line['unit']}" if line["unit"] else ""
    return [line["part"], line["what"], f"{_number(line['value'])}{unit}", spread, line["aim"]]


def _quartiles(line: Mapping[str, Any]) -> str:
    return f"{_number(line['low'])} to {_number(line['high'])}" if line["low"] != line["high"] else ""


def _number(value: float, digits: int = 3) -> str:
    """With this many digits, never as a power of ten."""
    return f"{float(f'{value:.{digits}g}'):,.10g}".replace(",", " ")


def inserted(text: str, new: str) -> str:
    """The text with what is between the two markers replaced. TableError where there is not one pair of them, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after or END in before:
        raise TableError(f"no place for the table: it needs one line {BEGIN!r} followed by one line {END!r}")
    return f"{before}{BEGIN}\n\n{new}\n\n{END}{after}"
