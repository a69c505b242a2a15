"""Variants as JSON and back, and found again by their id, in the cache or in a report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from capbench.errors import UsageError
from capbench.studies.pcfg.variant import SIMPLEST, Variant
from capbench.tasks.pcfg.grammar import Grammar
from capbench.variants.codec import plain, variant_of
from capbench.variants.kept import Kept
from capbench.variants.strategies import variants


@settings(max_examples=60, deadline=None)
@given(variants())
def test_a_variant_survives_json(variant: Variant) -> None:
    again = variant_of(json.loads(json.dumps(plain(variant))))
    assert again == variant and again.id == variant.id and again.words == variant.words


def test_a_grammar_may_have_a_symbol_named_type() -> None:
    rules = {"type": ((("x",) * 16, 1.0),), "x": ((("a",), 0.5), (("b",), 0.5))}
    setting = dataclasses.replace(
        SIMPLEST.task.setting, grammar=Grammar(start="type", rules=rules, terminals=("a", "b"))
    )
    variant = dataclasses.replace(SIMPLEST, task=dataclasses.replace(SIMPLEST.task, setting=setting))
    assert variant_of(json.loads(json.dumps(plain(variant)))) == variant


GOOD = plain(SIMPLEST)
TASK = GOOD["task"]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        [],
        5,
        None,
        {"type": "Path"},
        {"type": ["Variant"]},
        {**GOOD, "colour": "red"},
        {"type": "Variant"},
        {**GOOD, "task": 5},
        {**GOOD, "task": TASK["setting"]},
        {**GOOD, "task": {**TASK, "family": "X"}},
        {**GOOD, "task": {**TASK, "o_ft": "z"}},
        {**GOOD, "task": {**TASK, "setting": 5}},
        {**GOOD, "task": {**TASK, "setting": {**TASK["setting"], "numbers": {"C": 99}}}},
    ],
)
def test_what_is_no_variant_is_told_in_one_line(raw: Any) -> None:
    with pytest.raises(UsageError, match=r"^not a variant: .+$") as told:
        variant_of(raw)
    assert "\n" not in str(told.value)


def test_a_variant_is_found_by_its_id_in_the_cache(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "cache")
    kept.keep(SIMPLEST)
    kept.keep(SIMPLEST)
    assert kept.find(SIMPLEST.id, tmp_path / "nowhere") == SIMPLEST
    assert [file.name for file in (tmp_path / "cache" / "variants").iterdir()] == [f"{SIMPLEST.id}.json"]


def report(folder: Path, content: Any) -> None:
    folder.mkdir(parents=True)
    folder.joinpath("results.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_variant_is_found_by_its_id_in_a_report_among_damaged_ones(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    report(reports / "1", "{ half")
    report(reports / "2", [1, 2])
    report(reports / "3", {"records": [{"claim": "old"}, {"trials": [{"id": "00000000", "variant": {}}]}]})
    report(reports / "4" / "a", {"records": [{"trials": [{"id": SIMPLEST.id, "variant": plain(SIMPLEST)}]}]})
    kept = Kept(tmp_path / "cache")
    assert kept.find(SIMPLEST.id, reports) == SIMPLEST
    kept.keep(SIMPLEST)
    (file,) = (tmp_path / "cache" / "variants").iterdir()
    file.write_text("{ half")
    assert kept.find(SIMPLEST.id, reports) == SIMPLEST, "a damaged file in the cache is no obstacle"


@pytest.mark.parametrize("id_", ["nosuch", "", "../../secret", "00000000"])
def test_an_id_that_is_not_known_is_told_in_one_line(id_: str, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps(plain(SIMPLEST)))
    report(tmp_path / "reports" / "1", {"records": [{"trials": [{"id": "00000000", "variant": {"type": "Old"}}]}]})
    with pytest.raises(UsageError, match=f"^--capbench-replay={id_}: .+$") as told:
        Kept(tmp_path / "a" / "cache").find(id_, tmp_path / "reports")
    assert "\n" not in str(told.value)


def test_where_an_id_was_looked_for_and_what_to_do_is_told(tmp_path: Path) -> None:
    kept, reports = Kept(tmp_path / "cache"), tmp_path / "reports"

    def told() -> str:
        with pytest.raises(UsageError) as error:
            kept.find("0000abcd", reports)
        return str(error.value)

    said = told()
    assert f"looked in '{tmp_path / 'cache' / 'variants'}' and in '{reports}' (no folder)" in said
    assert "give --capbench-report=FOLDER" in said and "--capbench-cache" in said
    report(reports / "1", {"records": []})
    assert f"in 1 report below '{reports}':" in told()
