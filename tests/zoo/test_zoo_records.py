"""Curves and readings that are bundled with the models: taken where the key is the same, checked, never in place of weights."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import study
from tiny_study import BASE, START, revived, tuned
from tiny_zoo import COMMAND, OTHER, STEPS, bundled, change, content, make

import capbench.zoo.bundle as bundle
from capbench.errors import CapbenchError
from capbench.methods.specs.registry import find
from capbench.pipeline.plan import Plan
from capbench.results import Measurement
from capbench.session.asked import Asked
from capbench.store.keys import key_of
from capbench.store.store import BUNDLED, Store
from capbench.studies.lab import Bench, Built, Lab
from capbench.zoo.alike import described, independent, without_code
from capbench.zoo.bundle import fill
from capbench.zoo.manifest import Record, read
from capbench.zoo.records import Wanted, of_revival
from capbench.zoo.rekey import measured_anew, rekey
from capbench.zoo.trace import Trace
from capbench.zoo.verify import Finding, summary, verify

CURVES = [revived(BASE), revived(START)]
CALLS: list[str] = []


def counted(bench: Bench[Any], model: Built) -> Iterator[Measurement]:
    """How often this was read."""
    CALLS.append(model.step.label)
    yield Measurement(name="calls", value=float(len(CALLS)), unit="", n=1, seed=bench.seed)


ASKED = Asked(reading=counted, bench=Bench(study=study(), seed=3), steps={"model": BASE}, arguments={})
WANTED = [*map(of_revival, CURVES), ASKED.wanted]


@pytest.fixture(scope="module")
def built(origin: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, two curves and a reading as `capbench zoo build` bundles them. To look at only."""
    assert Plan([*STEPS, *CURVES]).run(origin, jobs=1) == {}
    ASKED.carry_out(Lab(origin))
    options: dict[str, Any] = {"scale": "tiny", "seeds": (0,), "extended": False, "command": COMMAND}
    bundle.build(place := tmp_path_factory.mktemp("full") / "zoo", STEPS, origin, records=WANTED, **options)
    return place


@pytest.fixture
def full(built: Path, zoo: Path) -> Path:
    """A copy, in place of the package's."""
    for path, data in content(built).items():
        (zoo / path).parent.mkdir(exist_ok=True)
        (zoo / path).write_bytes(data)
    CALLS.clear()
    return zoo


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def the_file(folder: Path) -> Path:
    (found,) = folder.glob("records/*.json.gz")
    return found


def test_curves_are_taken_to_the_last_digit(full: Path, origin: Store, empty: Store) -> None:
    assert make(empty, *CURVES)[0] == "capbench: 1 base model and 2 curves of revivals taken from the package"
    for step in CURVES:
        one, other = origin.load(step.key), empty.load(step.key)
        assert one is not None and other is not None
        assert {**one.meta, BUNDLED: True} == other.meta and other.tensors == {}
    assert make(empty, *CURVES) == []
    assert bundle.keys() == {step.key for step in [*STEPS, *CURVES]} | {ASKED.wanted.entry.key}


def test_a_reading_is_taken_and_not_made(full: Path, origin: Store, empty: Store) -> None:
    lab = Lab(empty, bundled=bundle.shelf())
    ASKED.carry_out(lab)
    assert CALLS == [] and Lab(empty).read(counted, ASKED.bench, {"model": BASE}) == lab.read(
        counted, ASKED.bench, {"model": BASE}
    )
    one, other = origin.meta(ASKED.wanted.entry.key), empty.meta(ASKED.wanted.entry.key)
    assert one is not None and {**one, BUNDLED: True} == other
    replace(ASKED, steps={"model": START}).carry_out(Lab(empty, bundled=bundle.shelf()))  # it is not bundled
    assert [START.label] == CALLS


def test_without_curves_and_readings_nothing_is_taken_and_nothing_said(zoo: Path, empty: Store, tmp_path: Path) -> None:
    said = make(empty, *CURVES)
    assert said[0] == "capbench: 1 base model taken from the package" and "3 of 4 models to make" in said[1]
    assert bundle.shelf()(ASKED.wanted.entry.key) is None
    assert fill(empty, CURVES, tmp_path / "nowhere") == bundle.Filled()


def flip(folder: Path) -> str:
    changed = bytearray(the_file(folder).read_bytes())
    changed[len(changed) // 2] ^= 1
    the_file(folder).write_bytes(changed)
    return "SHA-256 differs"


def lose(folder: Path) -> str:
    the_file(folder).unlink()
    return "is missing"


def put(folder: Path, data: bytes) -> None:
    """Other content, and the manifest agrees."""
    the_file(folder).unlink()
    sha256 = hashlib.sha256(data).hexdigest()
    change(folder, lambda raw: raw["records"].update(sha256=sha256, size=len(data)))
    (folder / f"records/{sha256[:16]}.json.gz").write_bytes(data)


def nonsense(folder: Path) -> str:
    put(folder, b"nonsense")
    return "is not a file of curves and readings"


def lack_one(folder: Path) -> str:
    raw = json.loads(gzip.decompress(the_file(folder).read_bytes()))
    del raw[CURVES[0].key]
    put(folder, gzip.compress(json.dumps(raw).encode()))
    return CURVES[0].key


@pytest.mark.parametrize("damage", [flip, lose, nonsense, lack_one])
def test_a_damaged_file_is_a_warning_and_all_is_made_anew(
    full: Path, origin: Store, empty: Store, damage: Callable[[Path], str]
) -> None:
    words = damage(full)
    said = make(empty, *CURVES)
    (warning,) = (line for line in said if "warning" in line)
    assert words in warning and warning.endswith("they are made instead") and "\n" not in warning
    for step in CURVES:
        one, other = origin.meta(step.key), empty.meta(step.key)
        assert one is not None and other is not None and one["curves"] == other["curves"] and BUNDLED not in other
    lab = Lab(empty, bundled=bundle.shelf())
    with pytest.warns(UserWarning, match="they are made instead"):
        ASKED.carry_out(lab)
    assert len(CALLS) == 1
    (wrong,) = (finding for finding in verify(full, STEPS, WANTED) if finding.mark == "WRONG")
    assert words in wrong.message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda records: records["entries"][0].update(kind="Pretrain"), "'Pretrain' should be one of Revive, Reading"),
        (lambda records: records["entries"][0].update(key="../x"), "is not a curve's or a reading's key"),
        (lambda records: records["entries"].append(records["entries"][0]), "names a curve or a reading twice"),
        (lambda records: records.update(sha256="../x"), "is not a SHA-256"),
        (lambda records: records.pop("size"), "'size' is missing"),
    ],
)
def test_a_damaged_manifest_is_one_warning(
    full: Path, empty: Store, damage: Callable[[Any], object], words: str
) -> None:
    change(full, lambda raw: damage(raw["records"]))
    filled = fill(empty, [*STEPS, *CURVES])
    assert filled.taken == frozenset() and len(filled.warnings) == 1 and words in filled.warnings[0]
    assert bundle.shelf()(ASKED.wanted.entry.key) is None


def test_what_has_weights_is_neither_bundled_nor_taken_without_them(full: Path, origin: Store, empty: Store) -> None:
    """A model's key among the curves, by whatever mistake, puts no model without weights into a cache."""
    as_a_curve = Wanted(entry=Record(key=BASE.key, kind="Revive", label="x", alike="x"), config=BASE.config)
    with pytest.raises(CapbenchError, match="'x' has weights"):
        measured_anew(full, [as_a_curve], origin)

    def confuse(raw: Any) -> None:
        raw["models"] = [model for model in raw["models"] if model["key"] != BASE.key]
        raw["records"]["entries"][0]["key"] = BASE.key

    change(full, confuse)
    assert BASE.key not in fill(empty, [BASE, *CURVES]).taken and not empty.has(BASE.key)


def test_what_a_method_had_a_part_in_depends_on_it() -> None:
    one = tuned(find("full"))
    assert [independent(step) for step in (START, BASE, revived(BASE), one, revived(one))] == [True] * 3 + [False] * 2


def test_it_is_alike_whatever_the_code_and_nothing_else() -> None:
    config = described(CURVES[0])
    other = {**config, "code": "1", "start": {**config["start"], "code": "2"}}
    other["start"]["start"] = {**config["start"]["start"], "code": "3"}
    assert without_code(other) == without_code(config) == CURVES_ALIKE[0]
    other["start"]["start"]["seed"] = 99
    assert without_code(other) != without_code(config)


CURVES_ALIKE = [each.entry.alike for each in WANTED]


def marks(findings: list[Finding]) -> dict[str, list[Finding]]:
    return {mark: [f for f in findings if f.mark == mark and f.measured] for mark in ("ok", "old", "absent", "WRONG")}


def test_verify_tells_what_is_ok_old_and_absent(full: Path, zoo: Path) -> None:
    found = verify(full, STEPS, WANTED)
    assert [f.what for f in marks(found)["ok"]] == ["2 curves of revivals", "1 reading"]
    assert "curves and readings: 3 ok, 0 old, 0 absent, 0 wrong" in summary(full, found)
    assert "run capbench zoo build" not in summary(full, found)
    # Another version of the code asks for the reading under another key; and there is a new curve.
    config = {**ASKED.wanted.config, "code": "0123"}
    again = Wanted(entry=replace(ASKED.wanted.entry, key=key_of(config)), config=config)
    found = verify(full, STEPS, [of_revival(CURVES[0]), of_revival(revived(OTHER)), again])
    old = {f.what: f.message for f in marks(found)["old"]}
    assert "another version of the code" in old[ASKED.wanted.entry.label]
    (unasked,) = (f for f in found if f.mark == "unasked")
    assert unasked.what == CURVES[1].label and "no suite asks for it" in unasked.message
    assert [f.what for f in marks(found)["absent"]] == [revived(OTHER).label]
    assert "curves and readings: 1 ok, 1 old, 1 absent, 0 wrong; run capbench zoo build" in summary(full, found)


def test_verify_asks_no_bundle_of_models_for_curves(zoo: Path) -> None:
    assert {finding.mark for finding in verify(zoo, STEPS, WANTED)} == {"ok"}


def test_verify_finds_another_configuration_and_files_left_over(full: Path) -> None:
    raw = json.loads(gzip.decompress(the_file(full).read_bytes()))
    raw[CURVES[0].key]["config"]["goal"] = 0.5
    put(full, gzip.compress(json.dumps(raw).encode()))
    (full / "records/0123.json.gz").write_bytes(b"")
    found = verify(full, STEPS, WANTED)
    (wrong,), (stray,) = (marks(found)["WRONG"], [f.what for f in found if f.mark == "stray"])
    assert "not the manifest's" in wrong.message and stray == "records/0123.json.gz"


def test_curves_and_readings_go_when_a_model_gets_a_new_key_and_are_made_anew(
    full: Path, built: Path, origin: Store, trace: Trace
) -> None:
    before = content(full)
    assert rekey(full, STEPS, before=trace, now=trace) == read(built) and content(full) == before  # nothing is outdated

    def older(raw: Any) -> None:
        entry = next(m for m in raw["models"] if m["key"] == BASE.key)
        entry["config"]["code"] = entry["code"] = "0123"
        entry["key"] = key_of({**BASE.config, "code": "0123"})

    change(full, older)
    assert rekey(full, STEPS, before=trace, now=trace).records is None and not list(full.glob("records/*"))
    again = measured_anew(full, WANTED, origin)
    assert again.records is not None and set(again.recorded) == {each.entry.key for each in WANTED}
    assert {finding.mark for finding in verify(full, STEPS, WANTED)} == {"ok"}
    assert bundled(full, origin).records is None and not list(full.glob("records/*"))  # a bundle of models only
