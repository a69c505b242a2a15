"""Claims on variants in reports: the tally counts what was drawn, every trial is shown, the simplest failure is tried again."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from report_example import example, record, results, trial, tried
from test_report import HOSTILE, Page, page

from capbench.cli.main import main
from capbench.report import variant_table, write
from capbench.report.markdown import summary
from capbench.report.write import to_csv
from capbench.results import Record, Results, Status, Trial

NONE = {"effect": None, "margin": None}


def at_scale(scale: str, *records: Record, command: str = "pytest suites") -> Results:
    run = results(*records)
    return dataclasses.replace(run, run=dataclasses.replace(run.run, scale=scale, command=command))


def again(run: Results) -> list[str]:
    """The command of the terminal's last line, in words."""
    return shlex.split(variant_table(run).splitlines()[-1].removeprefix("try it again: "))


def test_a_run_without_trials_has_no_word_of_variants(tmp_path: Path) -> None:
    assert variant_table(example()) == ""
    assert "## Variants" not in summary(example())
    shown = page(results(record()), tmp_path)
    assert "variants" not in shown.ids
    assert "Wilson" not in shown.text


def test_the_terminal_shows_the_tally_each_trial_and_the_simplest_refuted_one() -> None:
    lines = variant_table(results(tried())).splitlines()
    assert lines[0] == "variants.shortcut: 9 of 11 supported, 0.82 [0.52, 0.95]; 2 refuted; 2 invalid, not counted"
    assert max(map(len, lines)) <= 100
    rows = [row.split(maxsplit=4) for row in lines if re.match(r"[0-8a-e]{8} ", row)]
    assert [row[0] for row in rows] == [t.id for t in tried().trials]
    assert rows[2][1:] == ["supported", "0.04", "+0.16", "window 6"]
    assert rows[9][1:4] == ["refuted", "0.64", "-0.44"] and rows[9][4].endswith(" …")
    assert rows[-1][4] == "simpler than aaaaaaaa: relation=parity"
    assert sum("control failed: the base model is right on 61 %" in row for row in lines) == 2
    assert lines[-2:] == [
        "simplest refuted: relation=parity",
        "try it again: pytest suites/test_variants.py --capbench-replay=eeeeeeee",
    ]


@pytest.mark.parametrize(
    ("statuses", "share", "tally"),
    [
        ("s", (1.0, (0.21, 1.0)), "1 of 1 supported, 1.00 [0.21, 1.00]"),
        ("sr", (0.5, (0.09, 0.91)), "1 of 2 supported, 0.50 [0.09, 0.91]; 1 refuted"),
        ("cssr", (0.5, None), "2 of 4 supported, 0.50 \N{EN DASH}; 1 refuted, 1 inconclusive"),
        ("sii", (None, None), "1 of 1 supported; 2 invalid, not counted"),
        ("ii", (None, None), "none could be tested; 2 invalid, not counted"),
    ],
)
def test_the_tally_is_of_drawn_variants_that_were_decided(statuses: str, share: Any, tally: str) -> None:
    ends = {"s": Status.SUPPORTED, "r": Status.REFUTED, "c": Status.INCONCLUSIVE, "i": Status.INVALID}
    drawn = [trial(id=f"{i:08}", status=ends[letter]) for i, letter in enumerate(statuses)]
    shrunk = [trial(id="simple", status=Status.REFUTED, shrunk_from=t.id) for t in drawn if t.status == Status.REFUTED]
    verdict = dataclasses.replace(tried().verdict, effect=share[0], ci=share[1])
    table = variant_table(results(tried(*drawn, *shrunk, verdict=verdict)))
    assert table.splitlines()[0] == f"variants.shortcut: {tally}"


def test_the_first_refuted_is_the_simplest_where_none_was_found_by_shrinking() -> None:
    found = [t for t in tried().trials if not t.shrunk_from]
    assert again(results(tried(*found)))[-1] == "--capbench-replay=aaaaaaaa"
    held = [t for t in found if t.status is not Status.REFUTED]
    table = variant_table(results(tried(*held)))
    assert "simplest refuted" not in table and "try it again" not in table


@pytest.mark.parametrize(
    ("scale", "method", "command", "more"),
    [
        ("small", "", "", []),
        ("small", "full", "", []),
        ("smoke", "full", "", ["--capbench-scale=smoke"]),
        ("paper", "lora", "", ["--capbench-scale=paper", "--capbench-method=lora"]),
        ("small", "a b.py:f", "", ["--capbench-method=a b.py:f"]),
        ("small", "m.py:f", "pytest --capbench-method=x/m.py:f s", ["--capbench-method=x/m.py:f"]),
        ("small", "m.py:f", "pytest --capbench-method ../m.py:f", ["--capbench-method=../m.py:f"]),
        ("small", "m.py:f", "pytest --capbench-method=am.py:f", ["--capbench-method=m.py:f"]),
        ("small", "lora(rank=4)", "", ["--capbench-method=lora", "--capbench-method-arg=rank=4"]),
        ("small", "full(a=x,y,b=1)", "", ["--capbench-method-arg=a=x,y", "--capbench-method-arg=b=1"]),
    ],
)
def test_a_variant_is_tried_again_as_it_was(scale: str, method: str, command: str, more: list[str]) -> None:
    run = at_scale(scale, tried(method=method), command=command)
    assert again(run) == ["pytest", "suites/test_variants.py", "--capbench-replay=eeeeeeee", *more]


def test_the_options_of_that_command_exist() -> None:
    from capbench.plugin.options import add_options

    parser = pytest.Parser(_ispytest=True)
    add_options(parser)
    words = again(at_scale("smoke", tried(method="lora(rank=4)")))
    given = parser.parse_known_args(words[1:])
    assert (given.capbench_replay, given.capbench_scale) == (["eeeeeeee"], "smoke")
    assert (given.capbench_method, given.capbench_method_arg) == (["lora"], ["rank=4"])


def test_with_several_methods_each_block_names_its_own() -> None:
    heads = [block.split(":")[0] for block in variant_table(results(tried(), tried(method="lora"))).split("\n\n")]
    assert heads == ["variants.shortcut, method full", "variants.shortcut, method lora"]


def test_the_summary_has_a_table_with_whole_words_and_the_command() -> None:
    text = summary(results(tried(), record()))
    section = text.split("## Variants (scale: small)")[1].split("\n## ")[0]
    assert "**variants.shortcut**: 9 of 11 supported" in section
    rows = [line for line in section.splitlines() if re.match(r"\| [0-8a-e]{8} ", line)]
    assert len(rows) == 14
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert "X2 -> a 0.9 \\| # 0.1" in rows[9] and "✘ refuted" in rows[9]
    assert "texts of 32: control failed: the base model" in rows[12]
    assert "```sh\npytest suites/test_variants.py --capbench-replay=eeeeeeee\n```" in section


def test_the_page_shows_every_trial_with_reason_and_specification(tmp_path: Path) -> None:
    run = results(tried(), record())
    shown = page(run, tmp_path)
    assert "#variants" in shown.links and "variants" in shown.ids
    for found in tried().trials:
        assert f"{found.id}" in shown.text and found.words in shown.text and found.reason in shown.text
    assert "Simplest refuted: relation=parity" in shown.text
    assert "pytest suites/test_variants.py --capbench-replay=eeeeeeee" in shown.text
    html = (tmp_path / run.run.run_id / "report.html").read_text("utf-8")
    specs = re.findall(r"<details><summary>specification</summary><pre[^>]*>(.*?)</pre></details>", html, flags=re.S)
    assert [json.loads(Page(spec).text) for spec in specs] == [dict(t.variant) for t in tried().trials]
    assert re.findall(r'<span class="(\w+)" style="flex-grow: (\d+)">', html) == [
        ("supported", "9"),
        ("refuted", "2"),
        ("invalid", "2"),
    ]


def test_a_specification_reads_back_whatever_its_texts_hold(tmp_path: Path) -> None:
    spec = {"a": ["[\n b\n ]", "x  y", "[ ", []], "grammar": {"s": [[["a", "b"], 0.5], [["{"], 0.5]]}, "none": None}
    run = results(tried(trial(variant=spec)))
    html = (write(run, tmp_path) / "report.html").read_text("utf-8")
    (found,) = re.findall(r"<pre[^>]*>(.*?)</pre>", html, flags=re.S)
    assert json.loads(Page(found).text) == spec


def test_text_from_outside_is_shown_and_never_run(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"id": HOSTILE, "words": HOSTILE, "reason": HOSTILE, "variant": {HOSTILE: HOSTILE}}
    bad = trial(**fields, status=Status.REFUTED, shrunk_from=HOSTILE)
    invalid = trial(**fields, status=Status.INVALID, **NONE)
    run = results(tried(bad, invalid, claim=HOSTILE, method=HOSTILE, nodeid=f"{HOSTILE}::test"), record())
    html = (write(run, tmp_path) / "report.html").read_text("utf-8")
    assert html.count("<script") == Page(html).tags.count("script") == 1  # the page's own
    text = summary(run)
    outside = re.sub(r"```sh\n.*\n```", "", text)
    assert not re.search(r"(?<!\\)<script", outside)
    assert "\x1b" not in variant_table(run) + text
    assert max(map(len, variant_table(run).splitlines()[1:5])) <= 100


def test_the_csv_has_a_row_per_claim_and_none_per_trial() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(results(tried(), record())))))
    assert [row["claim"] for row in rows] == ["variants.shortcut", "wrapper.pruning"]
    assert rows[0]["n_seeds"] == "1" and rows[0]["reason"].startswith(
        "9 supported, 2 refuted, 0 inconclusive, 2 invalid"
    )


def test_a_run_with_variants_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(results(tried()), tmp_path)
    assert main(["show", str(folder)]) == 0
    assert variant_table(results(tried())) in capsys.readouterr().out


def test_order_and_statuses_of_trials_do_not_move_the_simplest_off_the_shrunk_one() -> None:
    def simplest(*trials: Trial) -> str:
        return again(results(tried(*trials)))[-1]

    no = Status.REFUTED
    drawn, shrunk = trial(id="d", status=no), trial(id="s", status=no, shrunk_from="d", simplest=True)
    assert simplest(drawn, shrunk) == simplest(shrunk, drawn) == "--capbench-replay=s"
    assert simplest(drawn, dataclasses.replace(shrunk, status=Status.INVALID)) == "--capbench-replay=d"
    another = dataclasses.replace(drawn, id="o", simplest=True)  # shrinking ended on one that had been drawn, too
    assert simplest(drawn, another) == "--capbench-replay=o"
