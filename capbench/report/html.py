"""HTML report: one page that needs no network, with its figures in it. Its script only sorts, filters and unfolds."""

from __future__ import annotations

from capbench.report import words
from capbench.report.answers import answers
from capbench.report.architectures import by_architecture
from capbench.report.charts.figures import draw_all
from capbench.report.entries import BAR, entry
from capbench.report.markdown import facts
from capbench.report.matrix import matrix
from capbench.report.natural import HEAD, NOTE, fates
from capbench.report.page import rendered
from capbench.report.questions import asked
from capbench.report.variants import origin, specification, tried
from capbench.results import Results

FEW = 20  # claims; of more, those that are supported are folded
READINGS = {"present": "●", "absent": "○", "unclear": "◐"}


def render(results: Results) -> str:
    """The page. Everything from users or measurements is escaped; a figure that fails shows the reason."""
    entries = {id(record): entry(i, record) for i, record in enumerate(words.in_order(results.records), 1)}
    return rendered(
        "report.html.j2",
        results=results,
        run=results.run,
        answers=answers(results),
        counted=words.answer(results),
        seeds=words.seeds(results.run.seeds),
        matrix=matrix(results),
        fates=fates(results),
        natural_head=HEAD,
        natural_note=NOTE,
        asked=[(each, [entries[id(record)] for record in each.records]) for each in asked(results.records)],
        folded=len(results.records) > FEW,
        facts=facts(results.run),
        several_methods=len(words.methods(results)) > 1,
        entries=list(entries.values()),
        figures=draw_all(results.records),
        architectures=by_architecture(results),
        tried=tried(results),
        origin=origin,
        specification=specification,
        readings=READINGS,
        why=words.why,
        expectation=words.expectation,
        by_seed=words.by_seed,
        relabelling=words.relabelling,
        treatment=words.treatment,
        duration=words.duration,
        bar_size=BAR,
    )
