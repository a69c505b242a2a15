"""The page in a browser: it asks for nothing, sorts, filters and unfolds, and fits a narrow screen.

Needs playwright (PyPI) and Debian's chromium; playwright's own browser is not used.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from runs_example import claim, healthy, planted, run

from capbench.compare.leaderboard import page as methods
from capbench.compare.leaderboard.build import leaderboard
from capbench.compare.page import to_page
from capbench.compare.runs import compare
from capbench.report import write

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, reported: Path) -> Iterator[Any]:
    """The example's page."""
    with opened(browser, reported / "report.html") as found:
        yield found


@contextmanager
def opened(browser: Any, file: Path) -> Iterator[Any]:
    """A page. Whatever it asks for beyond itself, or complains of, fails the test."""
    found = browser.new_page(viewport={"width": 400, "height": 800})
    wrong: list[str] = []
    found.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("data:") else None)
    found.goto(file.as_uri())
    yield found
    found.close()
    assert [each for each in wrong if not each.endswith(file.name)] == []


def test_it_fits_a_narrow_screen_and_the_answer_is_on_the_first(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert "hid the old capability" in page.inner_text("h1")
    for term in ("How sure", "What else broke"):
        assert page.locator("dt", has_text=term).first.bounding_box()["y"] < 800


def test_claims_are_filtered_by_word_and_status(page: Any) -> None:
    shown = page.locator("#claims tr[data-status]:visible")
    page.select_option("#filter-status", "not")
    assert sorted(row.get_attribute("data-status") for row in shown.all()) == ["inconclusive", "invalid", "refuted"]
    assert page.inner_text("#filter-count") == "3 of 11"
    page.fill("#filter-text", "AMPLIFICATION")
    assert shown.count() == 1
    page.select_option("#filter-status", "")
    page.fill("#filter-text", "base.validity")  # in a folded group, which opens
    assert shown.count() == 2


def test_a_table_is_sorted_by_number_with_what_has_none_last(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    table = page.locator("table.sortable", has_text="revival.efficiency").first
    button = table.locator("th button", has_text="effect")
    for order in ("ascending", "descending"):
        button.focus()
        page.keyboard.press("Enter")
        cells = [cell.get_attribute("data-value") for cell in table.locator("td[data-label=effect]").all()]
        numbers = [float(cell) for cell in cells if cell]
        assert numbers == sorted(numbers, reverse=order == "descending") and cells[-1] == ""
        assert table.locator(f"th[aria-sort={order}]").count() == 1


def test_a_link_unfolds_what_it_leads_to(page: Any) -> None:
    link = page.locator("#claims a.id:visible").first
    target = page.locator(link.get_attribute("href"))
    assert not target.is_visible()
    link.click()
    assert target.is_visible()


def test_of_many_claims_those_that_hold_are_folded_and_a_link_or_a_word_unfolds_them(
    browser: Any, tmp_path: Path
) -> None:
    records = [claim(f"wrapper.part{i}", (0.9, 0.9, 0.9) if i else (0.1, 0.1, 0.1)) for i in range(21)]
    with opened(browser, write(run(*records), tmp_path) / "report.html") as page:
        shown = page.locator("#claims tr[data-status]:visible")
        assert [row.get_attribute("data-status") for row in shown.all()] == ["refuted"]
        page.fill("#filter-text", "part7")
        assert [row.get_attribute("data-status") for row in shown.all()] == ["supported"]
        assert not page.locator("#glossary dl").first.is_visible()
        page.locator("nav a", has_text="How to read this").click()
        assert page.locator("#glossary dl").first.is_visible()


def test_a_comparison_fits_a_narrow_screen_and_is_filtered_by_outcome(browser: Any, tmp_path: Path) -> None:
    runs = healthy(), planted()
    file = tmp_path / "changes.html"
    file.write_text(to_page(compare(*runs), (), runs), encoding="utf-8")
    with opened(browser, file) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        shown = page.locator("#claims tr[data-status]:visible")
        assert shown.count() == 1  # the other did not change: it is folded
        page.select_option("#filter-status", "unchanged")
        assert [row.get_attribute("data-status") for row in shown.all()] == ["unchanged"]


def test_a_leaderboard_fits_a_narrow_screen_and_sorts_with_what_has_no_value_last(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "methods.html"
    file.write_text(methods.to_page(leaderboard([healthy()])), encoding="utf-8")
    with opened(browser, file) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        page.set_viewport_size({"width": 1280, "height": 800})
        page.locator("#methods th button", has_text="O_PT accuracy").click()
        assert page.locator("#methods th[aria-sort=ascending]").count() == 1
