"""The report says what the results say: files that parse back, a page that needs nothing else, and honest gaps."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_example import example, mapped, measured, record, results

from capbench.errors import UsageError
from capbench.report import capability_table, check_directory, claim_table, load, write
from capbench.report.charts import lines
from capbench.report.words import answer
from capbench.results import Control, Evidence, Grid, Results, Status
from capbench.verdicts.claims import at_least

FILES = ("report.html", "results.csv", "results.json", "summary.md")
HOSTILE = "<script>alert(1)</script>|$x_1$\x1b[31m&lt;"


@pytest.fixture(scope="module")
def folder(reported: Path) -> Path:
    return reported


class Page(HTMLParser):
    """Everything a browser would load or run, every anchor, and the text without style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.loads += [values[name] for name in ("src", "srcset", "data", "action", "poster") if name in values]
        (self.links if tag == "a" else self.loads).extend([values["href"]] if "href" in values else [])
        self.ids += [values["id"]] if "id" in values else []
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.append("")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def page(run: Results, directory: Path) -> Page:
    return Page((write(run, directory) / "report.html").read_text("utf-8"))


def test_a_run_yields_its_four_files_and_no_drafts(folder: Path) -> None:
    assert folder.name == example().run.run_id
    made = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    groups = ("activations", "attention", "fine-tuning", "probing", "pruning", "revival")
    assert made == [*(f"figures/{group}.csv" for group in groups), *FILES]


def test_results_read_back_as_they_were_written(folder: Path) -> None:
    assert load(folder) == example()
    assert load(folder / "results.json") == example()


def test_equal_results_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    again = write(load(folder), tmp_path)
    for name in ("results.json", "results.csv", "summary.md", "report.html"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_csv_holds_every_record_and_leaves_missing_values_empty(folder: Path) -> None:
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(example().records) == 11
    pruning = rows[4]
    assert (pruning["claim"], pruning["case"]) == ("wrapper.pruning", "prior=low,c_tr=1,lr=small")
    assert [float(value) for value in pruning["per_seed"].split(";")] == [0.42, 0.36, 0.47]
    assert float(pruning["effect"]) == pytest.approx(0.41667, abs=1e-4)
    invalid = rows[-1]
    assert [invalid[k] for k in ("status", "effect", "ci_low", "ci_high", "margin")] == ["invalid", "", "", "", ""]
    assert invalid["per_seed"] == ";0.4;"
    assert all(row["scale"] == "small" for row in rows)


def test_the_page_loads_nothing_and_every_link_has_its_target(folder: Path) -> None:
    shown = Page((folder / "report.html").read_text("utf-8"))
    assert len(shown.loads) == 8  # the cells of maps
    assert all(src.startswith("data:image/png;base64,") for src in shown.loads)
    inside = [link for link in shown.links if link.startswith("#")]
    assert inside and all(link[1:] in shown.ids for link in inside)
    files = [link for link in shown.links if not link.startswith("#")]
    assert len(files) == 6 and all((folder / file).is_file() for file in files)
    assert len(set(shown.ids)) == len(shown.ids)
    assert shown.tags.count("script") == 1
    style = (folder / "report.html").read_text("utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_says_the_answer_the_scale_and_every_reason(folder: Path) -> None:
    text = Page((folder / "report.html").read_text("utf-8")).text
    assert "8 of 11 claims supported, 1 refuted, 1 inconclusive, 1 invalid." in text
    assert "full hid the old capability (wrapped) in 2 of 3 models; 1 is undecided." in text
    assert text.count("scale: small") == 5  # capabilities, claims, figures, evidence, details
    for item in example().records:
        assert item.id in text
        assert item.verdict.reason in text
    for item in example().capabilities:
        assert all(evidence.rule in text for evidence in item.evidence)


@pytest.mark.parametrize(("name", "head"), [("summary.md", "## Claims"), ("report.html", '<section id="claims">')])
def test_verdicts_on_capabilities_lead_and_claims_follow(folder: Path, name: str, head: str) -> None:
    text = (folder / name).read_text("utf-8")
    in_order = ["full hid the old capability", "2 wrapped, 1 deleted", head]
    assert [text.count(words) for words in in_order] == [1] * 3
    assert sorted(in_order, key=text.index) == in_order
    assert text.count("8 of 11 claims supported") == 1


def test_each_claim_says_how_its_interval_was_found_and_each_verdict_whether_it_is_provisional(tmp_path: Path) -> None:
    verdict = dataclasses.replace(record().verdict, how="1 seed: spread from the prior", provisional=True)
    item = dataclasses.replace(example().capabilities[0], provisional=True)
    run = results(record(verdict=verdict), record(case="", verdict=record().verdict), capabilities=(item,))
    text = page(run, tmp_path).text
    assert text.count("1 seed: spread from the prior") == 1  # in the details
    assert len(re.findall(r"(?:supported|wrapped) provisional", text)) == 4
    rows = (tmp_path / run.run.run_id / "summary.md").read_text("utf-8").splitlines()
    assert [row.split(" | ")[-1] for row in rows if "✔" in row] == ["1 seed: spread from the prior |", "– |"]
    assert len([row for row in rows if "✔ supported (provisional)" in row or "wrapped (provisional)" in row]) == 2


def test_a_control_says_how_it_ended_with_its_interval(tmp_path: Path) -> None:
    ends = {"passed": (True, False), "undecided": (False, True), "failed": (False, False)}
    controls = tuple(
        Control(name=name, value=0.5, expected="<= 0.7", passed=passed, ci=(0.25, 0.75), undecided=undecided)
        for name, (passed, undecided) in ends.items()
    )
    text = page(results(record(verdict=at_least([0.5], 0.25, "gain"), controls=controls)), tmp_path).text
    rows = re.findall(r"(\w+)0\.50\[0\.25, 0\.75\]<= 0\.7(. \w+)", text)
    assert rows == [("passed", "✔ passed"), ("undecided", "? undecided"), ("failed", "✘ failed")]


def test_a_refuted_claim_without_a_reason_is_explained_by_its_numbers(tmp_path: Path) -> None:
    verdict = at_least([0.4, 0.5, 0.6], 1.0, "the gain")
    found = results(record(verdict=dataclasses.replace(verdict, reason="")))
    folder = write(found, tmp_path)
    said = "the gain is 0.5 [0.252, 0.748], 0.5 below the threshold 1"
    assert said in Page((folder / "report.html").read_text("utf-8")).text
    assert said.replace("[", "\\[") in (folder / "summary.md").read_text("utf-8")


def test_evidence_that_is_only_a_bound_says_so(tmp_path: Path) -> None:
    run = example()
    bound = Evidence(tool="revival", value=16.0, unit="ratio", reading="present", rule="", bound=">=")
    judged = dataclasses.replace(run.capabilities[0], evidence=(bound,))
    assert "≥ 16.0" in page(dataclasses.replace(run, capabilities=(judged,)), tmp_path).text


def test_text_from_outside_is_shown_and_never_run(tmp_path: Path) -> None:
    verdict = dataclasses.replace(record().verdict, status=Status.REFUTED, reason=HOSTILE, what=HOSTILE)
    control = Control(name=HOSTILE, value=None, expected=HOSTILE, passed=False)
    curve = measured((0, 1), (0.1, 0.2), 0, series=HOSTILE, note=HOSTILE, name=HOSTILE)
    labels = {"rows": (HOSTILE,), "columns": (HOSTILE,), "row_label": HOSTILE, "column_label": HOSTILE}
    grid = Grid(values=((1.0,),), **labels)
    picture = mapped([[1.0]], series=HOSTILE, group=HOSTILE, unit=HOSTILE, grid=grid)
    fields = {"claim": HOSTILE, "case": HOSTILE, "statement": HOSTILE, "source": HOSTILE, "model": HOSTILE}
    fields |= {"method": HOSTILE, "nodeid": HOSTILE, "protocol": {HOSTILE: HOSTILE}, "artefacts": {HOSTILE: HOSTILE}}
    bad = record(**fields, verdict=verdict, controls=(control,), measurements=(curve, picture))
    item = dataclasses.replace(example().capabilities[0], method=HOSTILE, reason=HOSTILE, task=HOSTILE)
    run = results(bad, record(), capabilities=(item,))
    html = (write(run, tmp_path) / "report.html").read_text("utf-8")
    assert html.count("<script") == Page(html).tags.count("script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in html.replace("<wbr>", "")
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.S)
    assert len(drawings) == 4 and all("alert(1)" in drawing for drawing in drawings[-2:])  # after those of intervals
    numbers = {file.name for file in (tmp_path / run.run.run_id / "figures").iterdir()}
    assert numbers == {"pruning.csv", "script-alert-1-script-x-1-31m-lt.csv"}
    markdown = (tmp_path / run.run.run_id / "summary.md").read_text("utf-8")
    assert not re.search(r"(?<!\\)<script", markdown)
    assert "\x1b" not in markdown + claim_table(run) + capability_table(run)
    rows = [line for line in markdown.splitlines() if line.startswith("| ") and "refuted" in line]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 9  # eight cells: the '|' in the name divides nothing


def test_a_run_without_claims_says_that_nothing_was_measured(tmp_path: Path) -> None:
    run = results()
    assert "Nothing was measured" in page(run, tmp_path).text
    assert "Nothing was measured" in (tmp_path / run.run.run_id / "summary.md").read_text("utf-8")
    assert "nothing was measured" in claim_table(run)
    assert "no capability was judged" in capability_table(run)
    assert "0 of 0" not in answer(run)
    assert load(tmp_path / run.run.run_id) == run


def test_a_figure_that_fails_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lines.draw

    def fail(sheet: lines.Sheet) -> list[lines.Block]:
        if sheet.group == "probing":
            raise RuntimeError("no\nink <b>")
        return whole(sheet)

    monkeypatch.setattr(lines, "draw", fail)
    shown = page(example(), tmp_path)
    assert "This figure could not be drawn (RuntimeError: no ink <b>)" in shown.text
    assert load(tmp_path / example().run.run_id) == example()


def test_results_are_on_disk_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(sheet: lines.Sheet) -> list[lines.Block]:
        raise KeyboardInterrupt

    monkeypatch.setattr(lines, "draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(example(), tmp_path)
    assert load(tmp_path / example().run.run_id) == example()


def test_a_failed_write_leaves_the_older_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(results(record()), tmp_path)

    def full(self: Path, *args: object, **options: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        write(results(), tmp_path)
    assert load(folder) == results(record())
    assert sorted(p.name for p in folder.iterdir()) == list(FILES)


def test_importing_the_report_loads_no_heavy_library() -> None:
    heavy = {"torch", "numpy", "matplotlib", "jinja2", "tabulate"}
    code = f"import sys, capbench.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_report_directory_is_made_and_left_empty(tmp_path: Path) -> None:
    check_directory(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("below", ["", "reports"])
def test_a_file_is_no_report_directory(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / below
    with pytest.raises(UsageError, match=re.escape(f"'{path}'")) as caught:
        check_directory(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_takes_no_files_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        check_directory(tmp_path)


@pytest.mark.parametrize("run_id", ["", "..", "a/b"])
def test_a_run_id_cannot_lead_elsewhere(tmp_path: Path, run_id: str) -> None:
    run = results()
    with pytest.raises(UsageError, match="run id"):
        write(dataclasses.replace(run, run=dataclasses.replace(run.run, run_id=run_id)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "damaged"),
        ('{"schema": 1, "run": {', "damaged"),
        ("[]", "schema None"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1}', "'run' is missing"),
        ('{"schema": 1, "run": {"seeds": [], "methods": []}, "records": [], "capabilities": []}', "missing"),
        ('{"schema": 1, "run": {"seeds": 3}, "records": [], "capabilities": []}', "damaged"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(tmp_path)
    assert str(file) in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results at"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no results at"):
        load(tmp_path)
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"results\.json' is UTF-16, not UTF-8"):
        load(tmp_path)
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(UsageError):
        load(tmp_path / "file" / "below")
