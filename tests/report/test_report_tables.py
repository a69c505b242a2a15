"""The terminal tables fit the terminal, keep claims together, and never show a missing value as a number."""

from __future__ import annotations

import dataclasses
import re

import pytest
from report_example import example, record, results

from capbench.report import capability_table, claim_table, claims_in_short
from capbench.report.words import DASH, number
from capbench.results import Status


def test_what_has_no_value_is_a_dash_and_never_zero() -> None:
    none = dataclasses.replace(
        record().verdict, status=Status.INVALID, effect=None, ci=None, threshold=None, margin=None, reason="diverged"
    )
    row = claim_table(results(record(verdict=none))).splitlines()[-1]
    assert row.split() == ["wrapper.pruning[prior=low]", "invalid", *[DASH] * 4, "3"]
    assert "0.0" not in row


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, DASH), (0.0, "0.00"), (-0.0, "0.00"), (0.3, "0.30"), (0.001, "0.001"), (-1e-5, "-1e-05"), (12.34, "12.3")],
)
def test_numbers_keep_three_digits_and_only_zero_is_zero(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_counts_are_whole_and_margins_signed() -> None:
    assert number(120.0, unit="steps") == "120"
    assert number(None, unit="steps") == DASH
    assert (number(0.2, sign=True), number(-0.2, sign=True)) == ("+0.20", "-0.20")


def test_the_terminal_tables_fit_and_name_scale_status_and_margin() -> None:
    table = claim_table(example())
    assert "scale small" in table.splitlines()[0]
    assert max(map(len, table.splitlines())) <= 100
    assert re.search(r"wrapper\.pruning.* +supported +0\.42 +\[0\.36, 0\.47\] +>= 0\.30", table)
    assert "-0.24" in table
    assert "method" not in table
    capabilities = capability_table(example())
    assert "scale small" in capabilities.splitlines()[0]
    assert max(map(len, capabilities.splitlines())) <= 100
    assert re.search(r"wrapped +3 wrapped +kept, +shortcut", capabilities)
    assert re.search(r"undecided +3 undecided +–", capabilities)
    assert re.search(r"2 wrapped, +damaged,.*\n.*1 deleted +operand c 0\.71", capabilities)


def test_in_short_only_what_is_not_supported_is_said_the_worst_first_with_its_reason() -> None:
    long = dataclasses.replace(
        record().verdict, status=Status.INCONCLUSIVE, reason="far too long " * 40, provisional=True
    )
    whose = record(claim="my." + "very-" * 30 + "long", method="mine.py:tune", verdict=long)
    text = claims_in_short(results(*example().records, whose))
    shown = re.findall(r"^(\w+\*?)  (?=\S)", text, flags=re.M)
    assert shown == ["invalid", "refuted", "inconclusive", "inconclusive*"]
    assert max(map(len, text.splitlines())) <= 100
    assert "method mine.py:tune" in re.sub(r"\n *", "", text) and text.count("far too long") < 30
    for item in example().records:
        supported = item.verdict.status is Status.SUPPORTED
        assert supported or " ".join(item.verdict.reason.split()) in " ".join(text.split())
        assert (item.id in text) is not supported
    assert text.splitlines()[-1] == "8 of 12 claims supported, 1 refuted, 2 inconclusive, 1 invalid."


def test_the_terminal_says_in_short_how_the_intervals_were_found() -> None:
    assert claim_table(example()).splitlines()[-1] == "intervals: moderated t (10)"
    alone = dataclasses.replace(record().verdict, provisional=True, n_seeds=1, how="1 seed: spread from the prior")
    table = claim_table(results(record(), record(verdict=alone)))
    assert re.search(r"wrapper\.pruning\[prior=low\] +supported +0\.40", table)
    assert re.search(r"wrapper\.pruning\[prior=low\] +supported\* +0\.40", table)
    assert table.splitlines()[-2].startswith("* provisional: from one seed")
    assert table.splitlines()[-1] == "intervals: 1 seed (1)"


def test_one_seed_gives_no_column_of_states_by_seed_and_a_provisional_verdict() -> None:
    first = example().capabilities[0]
    alone = dataclasses.replace(first, per_seed={0: first.verdict}, provisional=True, uncalibrated=("probe",))
    table = capability_table(results(capabilities=(alone,)))
    assert "by seed" not in table
    assert re.search(r"wrapped +kept.*\n.*\(provisional, .*\n.*uncalibrated\)", table)


def test_several_methods_get_a_column() -> None:
    other = dataclasses.replace(example().capabilities[2], method="mine.py:tune")
    run = results(record(), record(method="mine.py:tune"), capabilities=(*example().capabilities, other))
    assert "mine.py:tune" in claim_table(run)


def test_claims_stay_together_in_order_of_first_appearance() -> None:
    names = ["b.x", "a.y", "b.x", "c.z", "a.y"]
    rows = [record(claim=name, case=f"i={i}") for i, name in enumerate(names)]
    found = re.findall(r"^([abc]\.[xyz])\[i=(\d)", claim_table(results(*rows)), flags=re.M)
    assert found == [("b.x", "0"), ("b.x", "2"), ("a.y", "1"), ("a.y", "4"), ("c.z", "3")]
