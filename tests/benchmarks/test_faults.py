"""The campaign of faults: what it calls wrong. CAPBENCH_THOROUGH=1 adds one trial of each kind that matters most: a minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # as for a script that is run there

import faults  # noqa: E402
from campaign import outcome  # noqa: E402
from campaign.runs import EVERY, Ended, Place, Trained  # noqa: E402
from campaign.trials import KINDS, Trial  # noqa: E402


def ended(*trained: Trained, out: str = "") -> Ended:
    return Ended(code=0, out=out, trained=trained, seconds=1.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path / "place", tmp_path)
    for name in ("artefacts", "tmp", "partial", "locks"):
        (found.cache / name).mkdir(parents=True)
    return found


def artefact(place: Place, key: str, *, weights: bytes = b"1", seconds: float = 1.0) -> Path:
    folder = place.cache / "artefacts" / key[:2] / key
    folder.mkdir(parents=True)
    (folder / "tensors.safetensors").write_bytes(weights)
    (folder / "meta.json").write_text(json.dumps({"kind": "Pretrain", "meta": {"seconds": seconds, "steps": 5}}))
    return folder


def results(place: Place, effect: float, seconds: float) -> Ended:
    folder = place.reports / "one"
    folder.mkdir(parents=True, exist_ok=True)
    found = {"run": {"seconds": seconds}, "records": [{"effect": effect, "seconds": seconds}]}
    (folder / "results.json").write_text(json.dumps(found))
    return ended(out=f"report: {folder / 'report.html'}\n")


def test_only_times_may_differ(place: Place) -> None:
    folder = artefact(place, "ab12")
    first = outcome.Outcome.of(place, results(place, 0.5, 3.0))
    meta = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(meta.replace("1.0", "2.0"))
    assert first.differences(outcome.Outcome.of(place, results(place, 0.5, 4.0))) == []
    (folder / "tensors.safetensors").write_bytes(b"2")
    found = first.differences(outcome.Outcome.of(place, results(place, 0.6, 4.0)))
    assert [line.partition(":")[0] for line in found] == [
        "results differ at results.records[0].effect",
        "artefacts differ at artefacts.ab12.tensors",
    ]
    (folder / "meta.json").unlink()
    artefact(place, "cd34")
    found = first.differences(outcome.Outcome.of(place, ended()))
    assert {line.partition(":")[0].rpartition(".")[2] for line in found} == {"records", "ab12", "cd34"}


def test_what_was_there_and_is_made_again_is_told(place: Place) -> None:
    kept, lost = artefact(place, "ab12"), artefact(place, "cd34")
    artefact(place, "ef56").joinpath("meta.json").unlink()  # not finished
    before = outcome.finished(place)
    assert before.keys() == {"ab12", "cd34"} and outcome.made_again(before, place) == []
    lost.rename(place.folder / "aside")
    artefact(place, "cd34")
    assert outcome.made_again(before, place) == ["cd34 was made again"]
    assert outcome.made_again(before, place, damaged="cd34") == [] and kept.exists()


def test_steps_since_the_last_snapshot_may_be_repeated() -> None:
    killed = [Trained("ab", n * EVERY / 10) for n in range(50)]
    needed = Counter({"ab": 100})
    assert outcome.repeated(needed, ended(*killed), ended(*[Trained("ab", 9.0)] * 50)) == {}
    ((number, may),) = outcome.repeated(needed, ended(*killed), ended(*[Trained("ab", 9.0)] * 60)).values()
    assert number == 10 and 10 <= may <= 13


def test_files_that_are_left_are_told(place: Place) -> None:
    (place.cache / "locks" / "ab12.lock").touch()  # locks stay
    (place.temporary / "pymp-1").mkdir()  # Python's own
    assert outcome.left(place) == []
    (place.cache / "tmp" / "ab12.1").mkdir()
    (place.temporary / "capbench-1").mkdir()
    place.reports.mkdir()
    (place.reports / ".results.json.12345678.draft").touch()
    assert len(outcome.left(place)) == 3


@pytest.mark.parametrize(
    ("line", "odd"),
    [
        ("Traceback (most recent call last):", True),
        ("INTERNALERROR> ValueError", True),
        ("/site-packages/capbench/store/store.py:283: CapbenchError", True),
        ("/site-packages/capbench/store/store.py:283: ", True),
        ("loop.py:169: SnapshotWarning: cannot save a snapshot in 'partial/ab': No space left on device", False),
        ("capbench: models made in 0 s", False),
    ],
)
def test_tracebacks_are_seen(line: str, odd: bool) -> None:
    assert bool(ended(out=f"first\n{line}\nlast").trace) is odd


def test_a_campaign_that_is_cut_short_has_some_of_everything() -> None:
    order = faults.in_turn({"often": 10, "rarely": 2, "once": 1})
    assert Counter(order) == {"often": 10, "rarely": 2, "once": 1}
    assert Counter(order[:7]) == {"often": 5, "rarely": 1, "once": 1}


def test_the_table_counts_trials_that_ended_wrong() -> None:
    (row,) = faults.rows({"a flipped bit": [Trial(wrong=[]), Trial(wrong=["one", "two"])], "not tried": []})
    assert (row["value"], row["unit"], row["aim"]) == (1, "of 2", "0")


@pytest.mark.parametrize("option", ["--trials=0", "--only=earthquake"])
def test_a_mistake_is_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults.main([option]) == 2
    err = capsys.readouterr().err
    assert option.partition("=")[2] in err and err.count("\n") == 1


@pytest.mark.skipif(not os.environ.get("CAPBENCH_THOROUGH"), reason="whole runs: a minute")
@pytest.mark.parametrize("kind", ["kill -9 of all processes", "a flipped bit in the cache", "a disk that becomes full"])
def test_one_trial(kind: str, tmp_path: Path) -> None:
    assert kind in KINDS
    command = [
        sys.executable,
        str(BENCHMARKS / "faults.py"),
        "--trials=1",
        f"--only={kind}",
        f"--out={tmp_path / 'out'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
