"""Claims by architecture: a row each, in the page and in the summary; nothing where there is only one."""

from __future__ import annotations

from dataclasses import replace

from report_example import example

from capbench.report.architectures import Cell, by_architecture
from capbench.report.html import render
from capbench.report.markdown import summary
from capbench.results import Results


def on(*cases: str) -> Results:
    """The example with one claim on these cases, and its other claims."""
    results = example()
    first, *others = results.records
    return replace(results, records=(*(replace(first, claim="wrapper.it", case=case) for case in cases), *others))


def test_each_architecture_is_a_row_and_each_claim_a_column() -> None:
    results = on("architecture=lstm,prior=low", "architecture=gru,prior=low", "architecture=gru,prior=high")
    found = by_architecture(results)
    assert found is not None
    record = results.records[0]
    cell = Cell(str(record.verdict.status), found.rows[0][1][0].effect)
    assert set(found.claims) == {"wrapper.it[prior=low]", "wrapper.it[prior=high]"}
    cells = {name: dict(zip(found.claims, of, strict=True)) for name, of in found.rows}
    assert cells == {
        "lstm": {"wrapper.it[prior=low]": cell, "wrapper.it[prior=high]": Cell()},
        "gru": {"wrapper.it[prior=low]": cell, "wrapper.it[prior=high]": cell},
    }
    page, text = render(results), summary(results)
    assert '<section id="architectures">' in page and "## Architectures" in text
    assert "| architecture | wrapper.it\\[prior=" in text


def test_one_architecture_or_none_makes_no_table() -> None:
    for results in (example(), on("architecture=lstm"), on("architecture=lstm", "architecture=gru,prior=low")):
        assert by_architecture(results) is None
        assert 'id="architectures"' not in render(results) and "## Architectures" not in summary(results)
