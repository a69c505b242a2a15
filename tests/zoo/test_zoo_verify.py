"""`capbench zoo verify`: files whole, shapes right, of the code and configuration that the suites ask for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tiny_study import BASE
from tiny_zoo import DAMAGE, LONGER, OTHER, STEPS, change, put

from capbench.pipeline.steps import Pretrain
from capbench.store.store import Store
from capbench.zoo.bundle import fill, load
from capbench.zoo.manifest import read
from capbench.zoo.verify import Finding, in_order, summary, verify


def marks(folder: Path, *wanted: Pretrain) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in verify(folder, wanted or STEPS):
        found.setdefault(finding.mark, []).append(finding)
    return found


def test_what_is_as_it_should_be(zoo: Path) -> None:
    found = marks(zoo)
    assert list(found) == ["ok"] and len(found["ok"]) == 2 and "weakest: O_PT at " in found["ok"][0].message
    assert "2 models ok, 0 old, 0 absent, 0 wrong" in summary(zoo, found["ok"])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model_is_wrong(zoo: Path, damage: Callable[[Path], str]) -> None:
    words = damage(zoo)
    found = marks(zoo)
    (wrong,) = found["WRONG"]
    assert words in wrong.message and wrong.what == f"{BASE.label}, 6 steps" and len(found["ok"]) == 1


def reshape(folder: Path, how: Callable[[dict[str, torch.Tensor]], object]) -> None:
    manifest = read(folder)
    assert manifest is not None
    tensors, meta = load(folder, manifest.by_key[BASE.key])
    how(tensors)
    put(folder, safetensors.torch.save(tensors, metadata={"capbench": json.dumps(meta)}))


def manifests_model(raw: Any) -> Any:
    return next(m for m in raw["models"] if m["key"] == BASE.key)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda z: reshape(z, lambda t: t.update({"norm.bias": torch.zeros(9)})), "has 'norm.bias' as (9,)"),
        (lambda z: reshape(z, lambda t: t.pop("norm.bias")), "has 'norm.bias' as None"),
        (lambda z: reshape(z, lambda t: t["norm.bias"].fill_(float("nan"))), "not all finite"),
        (lambda z: change(z, lambda raw: manifests_model(raw)["config"].update(watch_every=3)), "not the manifest's"),
        (lambda z: change(z, lambda raw: manifests_model(raw)["config"]["start"].update(seed=3)), "not the manifest's"),
        (lambda z: change(z, lambda raw: manifests_model(raw).update(size=1)), "bytes; the manifest says 1"),
        (lambda z: change(z, lambda raw: manifests_model(raw)["accuracies"].update(O_PT=0.99)), "accuracies are"),
    ],
)
def test_one_fault_is_one_finding(zoo: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(zoo)
    (wrong,) = marks(zoo)["WRONG"]
    assert words in wrong.message


def test_what_is_asked_for_and_not_there_is_absent(zoo: Path, tmp_path: Path) -> None:
    (absent,) = marks(zoo, BASE, OTHER, LONGER)["absent"]
    assert absent.what == f"{LONGER.label}, 8 steps"
    assert [f.mark for f in verify(tmp_path / "nowhere", STEPS)] == ["absent", "absent"]


def test_a_file_that_the_manifest_does_not_name_is_left_over(zoo: Path) -> None:
    (zoo / "models/abc.safetensors").write_bytes(b"")
    found = marks(zoo)
    (stray,) = found.pop("stray")
    assert stray.what == "models/abc.safetensors" and list(found) == ["ok"]
    assert "0 wrong, 1 file left over; run capbench zoo build" in summary(zoo, [stray])


def test_what_no_suite_asks_for_is_not_taken_for_that_of_other_code(zoo: Path) -> None:
    found = verify(zoo, [BASE])
    assert sorted(f.mark for f in found) == ["ok", "unasked"]
    assert "0 old, 0 absent, 0 wrong; 1 that these suites do not ask for; run capbench zoo build" in summary(zoo, found)
    assert not in_order(found)
    # Where only part of the suites was asked, the others may have a use for it.
    assert in_order(found, part=True) and "capbench zoo build" not in summary(zoo, found, part=True)


def test_other_code_makes_models_old(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capbench.pipeline.steps.training_code", lambda modules: "another version")
    now = [replace(step, start=replace(step.start)) for step in STEPS]  # a step keeps its key once it is asked for
    assert {step.key for step in now}.isdisjoint(step.key for step in STEPS)
    found = verify(zoo, now)
    assert [f.mark for f in found] == ["old", "old"]  # and not absent, too
    assert (
        "2 of 2 models were made by another version of the code and will be retrained; "
        "run capbench zoo build, or rekey if they train to the same weights" in summary(zoo, found)
    )
    assert fill(Store(tmp_path / "cache"), now).taken == frozenset()
