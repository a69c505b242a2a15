"""HTML report: one page that needs no network, with its figures in it. Its script only sorts, filters and unfolds."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from capbench.report import words
from capbench.report.answers import answers
from capbench.report.architectures import by_architecture
from capbench.report.charts.figures import draw_all
from capbench.report.entries import BAR, as_number, entry
from capbench.report.markdown import facts
from capbench.report.matrix import matrix
from capbench.report.questions import asked
from capbench.report.variants import origin, specification, tried
from capbench.results import Results

TEMPLATES = Path(__file__).parent / "templates"
READINGS = {"present": "●", "absent": "○", "unclear": "◐"}


def render(results: Results) -> str:
    """The page. Everything from users or measurements is escaped; a figure that fails shows the reason."""
    script = (TEMPLATES / "report.js").read_text("utf-8")
    entries = {id(record): entry(i, record) for i, record in enumerate(words.in_order(results.records), 1)}
    page: str = (
        environment()
        .get_template("report.html.j2")
        .render(
            results=results,
            run=results.run,
            answers=answers(results),
            counted=words.answer(results),
            seeds=words.seeds(results.run.seeds),
            matrix=matrix(results),
            asked=[(each, [entries[id(record)] for record in each.records]) for each in asked(results.records)],
            facts=facts(results.run),
            several_methods=len(words.methods(results)) > 1,
            entries=list(entries.values()),
            figures=draw_all(results.records),
            architectures=by_architecture(results),
            tried=tried(results),
            origin=origin,
            specification=specification,
            readings=READINGS,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            why=words.why,
            expectation=words.expectation,
            by_seed=words.by_seed,
            relabelling=words.relabelling,
            treatment=words.treatment,
            duration=words.duration,
            bar_size=BAR,
        )
    )
    return page.rstrip() + "\n"


def environment() -> Any:
    """Of the pages' templates: everything is escaped; names break after their separators; numbers have real minus signs."""
    import jinja2
    from markupsafe import Markup, escape

    def breakable(name: str) -> Markup:
        """A long name that may wrap after its separators."""
        return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[,/:_])|(?=\[)", name))

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"breakable": breakable, "number": as_number, "signed": _signed, "pairs": words.pairs}
    made.globals |= {
        "icons": words.ICONS,
        "interval": lambda ci: words.typeset(words.interval(ci)),
        "threshold": lambda verdict: words.typeset(words.threshold(verdict)),
    }
    return made


def _signed(value: float | None) -> str:
    return words.typeset(words.number(value, sign=True))
