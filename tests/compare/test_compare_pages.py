"""Comparison and leaderboard as pages: what they say, what they draw, and which methods no other one beats."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from cli_runs import run as capbench
from hypothesis import given
from hypothesis import strategies as st
from runs_example import claim, healthy, planted, run, saved, verdict

from capbench.compare.gate import Gate
from capbench.compare.leaderboard.build import leaderboard
from capbench.compare.leaderboard.page import to_page as page_of_methods
from capbench.compare.leaderboard.page import views
from capbench.compare.leaderboard.pareto import front
from capbench.compare.page import to_page
from capbench.compare.runs import compare
from capbench.compare.spans import SIZE, spans
from capbench.results import Capability, CapabilityState, Collateral, CollateralState, Measurement, Record, Results

Captured = pytest.CaptureFixture[str]
MIDDLE = SIZE[0] / 2


def page(a: Results, b: Results) -> str:
    found = compare(a, b)
    return to_page(found, Gate.parse("--fail-on", None).found(found), (a, b))


def heading(html: str) -> str:
    (found,) = re.findall(r"<h1>(.*?)</h1>", html)
    return found.replace("<wbr>", "")


# ---- comparison


@pytest.mark.parametrize(("most", "side"), [(False, 1), (True, -1)])
def test_a_change_is_drawn_right_of_zero_where_the_claim_holds_better(most: bool, side: int) -> None:
    a, b = (run(claim("a.b", values, most=most)) for values in ((0.5, 0.6, 0.7), (0.7, 0.8, 0.9)))
    rows = compare(a, b).claims
    (span,) = spans(rows).values()
    (row,) = rows
    assert row.ci is not None
    reach = 1.06 * max(map(abs, row.ci))  # the farthest end, and a little room
    assert (span.zero, span.mean) == (MIDDLE, pytest.approx(MIDDLE * (1 + side * 0.2 / reach), abs=0.1))
    assert span.low is not None and span.high is not None and span.low < span.mean < span.high
    assert [side * (dot - MIDDLE) > 0 for dot in span.dots] == [True] * 3
    assert span.words.startswith(f"change {'+' if side > 0 else '−'}0.20 [")


def test_changes_of_ratios_are_written_as_factors() -> None:
    a, b = (run(claim("a.b", values, what="ratio of steps")) for values in ((2.0, 2.0), (8.0, 8.0)))
    (span,) = spans(compare(a, b).claims).values()
    assert "change ×4.00" in span.words and "seed 1 ×4.00" in span.words


def test_a_regression_is_the_headline_and_what_is_gone_is_folded() -> None:
    before = run(*healthy().records, claim("old.one", (1.0, 1.0, 1.0)), *healthy().capabilities)
    html = page(before, planted())
    assert heading(html) == "2 regressions from A to B; 1 of A&#39;s claims and verdicts is missing in B"
    assert "wrapped → deleted" in html
    rows = re.findall(r'<tr data-status="([\w ]+)">', html)
    assert rows == ["worse", "only in A", "unchanged"]
    (gone,) = re.findall(r'<details class="warning">.*?</details>', html, re.DOTALL)
    assert "old" in gone and "revival" not in gone


def test_what_did_not_change_is_said_so_and_shown() -> None:
    html = page(healthy(), healthy())
    assert heading(html) == "Nothing changed from A to B"
    assert re.findall(r"<details open><summary>(.*?)</summary>", html) == ["1 unchanged", "2 unchanged"]
    assert heading(page(run(), run())) == "Nothing to compare: the runs hold no claims"


def test_two_methods_are_named_and_nothing_of_them_is_markup() -> None:
    a, b = (
        run(claim("a.b", (0.9, 0.9, 0.9), method=name), methods=(name,), run_id=name) for name in ("full", "<b>&'x'")
    )
    html = page(a, b)
    assert heading(html) == "Nothing changed from full (A) to &lt;b&gt;&amp;&#39;x&#39; (B)"
    assert "<b>" not in html and "default-src 'none'" in html


# ---- leaderboard


def test_no_other_method_beats_those_of_the_front() -> None:
    points = {"both": (0.9, 0.9), "right": (1.0, 0.2), "beaten": (0.8, 0.9), "same": (0.9, 0.9), "low": (0.1, 0.1)}
    assert front(points, (1, 1)) == ["both", "same", "right"]
    assert front(points, (1, -1)) == ["low", "right"]


POINTS = st.dictionaries(st.integers(), st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8)


@given(POINTS, st.tuples(st.sampled_from([1, -1]), st.sampled_from([1, -1])))
def test_each_is_on_the_front_or_beaten_by_one_that_is(
    points: dict[int, tuple[int, int]], better: tuple[int, int]
) -> None:
    kept = front(points, better)
    assert kept

    def beats(one: int, other: int) -> bool:
        gains = [b * (points[one][i] - points[other][i]) for i, b in enumerate(better)]
        return min(gains) >= 0 and max(gains) > 0

    for name in points:
        assert (name in kept) is not any(beats(other, name) for other in kept)


def judged(method: str, states: str, *, learned: tuple[float, ...], spared: tuple[float, ...], c_tr: float) -> Results:
    """A run of one method on one model, with a state, an accuracy and a share per seed."""
    known = {"W": "wrapped", "D": "deleted", "I": "intact", "U": "undecided"}
    protocol = {"prior": "low", "c_tr": c_tr}
    worst = Collateral(state=CollateralState.DAMAGED, worst="CC", value=0.5, per_seed=dict(enumerate(spared)))
    found: Capability = dataclasses.replace(
        verdict("undecided"),
        method=method,
        protocol=protocol,
        per_seed={seed: CapabilityState(known[letter]) for seed, letter in enumerate(states)},
        collateral=worst if spared else None,
    )
    values = [(f"tuned.O_FT.c_te{c}", x if c == round(c_tr) else 0.0) for x in learned for c in (0, 1)]
    read = tuple(
        Measurement(name=name, value=value, unit="accuracy", n=1, seed=i // 2) for i, (name, value) in enumerate(values)
    )
    record: Record = claim(
        "a.b", (1.0, 1.0), model="gpt", task="counter", method=method, protocol=protocol, measurements=read
    )
    return run(record, found, run_id=f"run of {method}", methods=(method,))


def test_what_a_method_taught_hid_deleted_and_spared_is_counted_by_seed() -> None:
    """Of three seeds one is undecided: half of the others are hidden, half deleted."""
    (row,) = leaderboard([judged("full", "WDU", learned=(0.9, 0.7, 0.8), spared=(0.5, 0.7, 0.6), c_tr=0)]).standings
    scores = (row.learned, row.hidden, row.deleted, row.spared)
    assert [score.value for score in scores] == pytest.approx([0.8, 0.5, 0.5, 0.6])
    assert row.learned.ci == pytest.approx((0.7, 0.9))  # with three seeds, the lowest and the highest are drawn often


def test_both_views_join_the_best_and_name_who_is_missing() -> None:
    found = leaderboard(
        [
            judged("hides", "WW", learned=(1.0, 1.0), spared=(0.9, 0.9), c_tr=1),
            judged("deletes", "DD", learned=(0.2, 0.2), spared=(0.5, 0.5), c_tr=1),
            judged("neither", "II", learned=(), spared=(0.1, 0.1), c_tr=1),
        ]
    )
    reached, spared = views(found)
    assert reached.best == ("deletes", "hides") and reached.missing == ("neither",)
    assert spared.best == ("hides", "deletes") and spared.missing == ()
    assert 'aria-label="Old capability deleted, the rest spared.' in str(spared.svg)
    for name in ("hides", "deletes", "neither"):
        assert len(re.findall(rf'<text class="of"[^>]*>{name}</text>', str(spared.svg))) == 1
    html = page_of_methods(found)
    assert "3 methods side by side" in heading(html) and "Without both figures: neither." in html
    assert 'data-value="0.9"' in html


def test_where_nothing_was_measured_the_page_says_so() -> None:
    html = page_of_methods(leaderboard([judged("full", "W", learned=(), spared=(), c_tr=1)]))
    assert html.count("Nothing to draw") == 2 and "<circle" not in html


# ---- the command line


def test_the_page_is_written_beside_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a", healthy())
    saved(tmp_path / "b", planted())
    ended = capbench(capsys, "compare", "a", "b", "--html=changes.html")
    assert ended.code == 1 and "supported → refuted" in ended.out and "capbench: wrote changes.html" in ended.err
    assert "2 regressions from A to B" in (tmp_path / "changes.html").read_text()
    ended = capbench(capsys, "leaderboard", "a", "--html=methods.html")
    assert ended.code == 0 and "What one method did" in (tmp_path / "methods.html").read_text()
    for command in (["compare", "a", "b"], ["leaderboard", "a"]):
        ended = capbench(capsys, *command, "--html=a")
        assert (ended.code, ended.out, ended.err.count("\n")) == (
            2,
            "",
            1,
        ) and "--html=a: cannot be written" in ended.err
