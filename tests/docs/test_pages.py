"""The pages: links lead somewhere, imports are there, and tables are those that their commands make."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from guide_blocks import blocks

from capbench.session.options.page import page as page_of_options

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("benchmarks/RESULTS.md", "reports/README.md", "reports/reference/results.md")),
]
sys.path.append(str(ROOT / "benchmarks"))  # as for a script that is run there

import claims_table  # noqa: E402
import table  # noqa: E402
from speed.tables import TableError  # noqa: E402


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text(page), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_options_page_is_that_of_the_table() -> None:
    assert text(ROOT / "docs" / "options.md") == page_of_options(), "python -m capbench.session.options docs/options.md"


def test_the_readme_is_short() -> None:
    readme = text(ROOT / "README.md")
    assert len(readme.splitlines()) <= 150
    (method,) = [block.body for block in blocks(readme) if block.file == "mine.py"]
    assert len(method.splitlines()) <= 16  # its name, and 15 lines


def imports(page: Path) -> list[tuple[str, str]]:
    """What the examples of a page import from capbench: module and name."""
    return [
        (str(node.module), alias.name)
        for code in re.findall(r"^```python\n(.*?)^```$", text(page), re.DOTALL | re.MULTILINE)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "capbench"
        for alias in node.names
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if imports(page)], ids=lambda page: page.name)
def test_what_an_example_imports_is_there(page: Path) -> None:
    assert [
        (module, name) for module, name in imports(page) if not hasattr(importlib.import_module(module), name)
    ] == []


def test_examples_are_looked_at() -> None:
    assert {"README.md", "guide.md"} <= {page.name for page in PAGES if imports(page)}


def test_the_grammar_of_the_claims_page_makes_a_task() -> None:
    (code,) = [b.body for b in blocks(text(ROOT / "docs" / "claims.md")) if "max_length=60" in b.body]
    exec(code, made := {})
    assert made["task"].name == "finetune pcfg-C(b:1)"
    assert made["setting"].grammar.max_length == 60


def test_the_speed_page_has_the_table_of_the_committed_figures(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text(written := text(ROOT / "benchmarks" / "RESULTS.md"))
    figures = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert table.main(["--write", str(page), *map(str, figures)]) == 0
    assert text(page) == written


def test_the_results_page_has_the_claims_of_the_kept_runs() -> None:
    page = ROOT / "reports" / "reference" / "results.md"
    assert claims_table.filled(text(page), page.parent) == text(page)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("no marker", "no place for a table"),
        (claims_table.BEGIN.format(run="small-core"), "must occur once, and below it '<!-- /claims of small-core -->'"),
        (2 * (claims_table.BEGIN + claims_table.END).format(run="small-core"), "must occur once"),
    ],
)
def test_a_page_without_a_place_for_a_table_is_refused(page: str, said: str) -> None:
    with pytest.raises(TableError, match=re.escape(said)):
        claims_table.filled(page, ROOT / "reports" / "reference")


def test_a_run_that_is_not_there_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "results.md"
    page.write_text(before := (claims_table.BEGIN + claims_table.END).format(run="gone"))
    assert claims_table.main([str(page)]) == 2
    err = capsys.readouterr().err
    assert "gone" in err and err.count("\n") == 1
    assert text(page) == before


def test_what_the_page_shows_of_the_example_stands_in_the_example() -> None:
    shown = text(ROOT / "docs" / "extending.md").partition("## A study of your own")[2]
    excerpts = re.findall(r"^```python\n(.*?)^```$", shown, flags=re.DOTALL | re.MULTILINE)
    example = "\n".join(text(file) for file in sorted((ROOT / "examples" / "recall").glob("*.py")))
    stands = {line.strip() for line in example.splitlines()}
    assert len(excerpts) >= 5
    assert [line for excerpt in excerpts for line in excerpt.splitlines() if line.strip() not in stands] == []
