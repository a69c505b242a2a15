"""A model knows the files that its method read and that are in no key."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny import built
from tiny_study import tuned

from capbench.methods.specs.registry import find
from capbench.store.store import Store

SIDE = """
import copy, json
from dataclasses import replace
from pathlib import Path
from capbench.training.loop import fit
def tune(model, task, config):
    factor = json.loads(Path(__file__).with_suffix(".json").read_text())["factor"]
    fit(tuned := copy.deepcopy(model), task, replace(config, lr=factor * config.lr))
    return tuned
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_what_a_method_read_is_kept_with_its_model(tmp_path: Path) -> None:
    Path("side.py").write_text(SIDE)
    Path("side.json").write_text(json.dumps({"factor": 1}))
    store = Store(tmp_path / "cache")
    side, full = tuned(find("side.py:tune")), tuned(find("full"))
    built(store, [side, full])
    one, other = store.meta(side.key), store.meta(full.key)
    assert one is not None and list(one["opened"]) == [str(tmp_path / "side.json")]
    assert other is not None and "opened" not in other


def test_a_file_that_is_declared_makes_another_model_after_an_edit(tmp_path: Path) -> None:
    Path("side.py").write_text(f"{SIDE}tune.depends_on = ['side.json']\n")
    store = Store(tmp_path / "cache")
    weights = []
    for factor in (1, 0):
        Path("side.json").write_text(json.dumps({"factor": factor}))
        step = tuned(find("side.py:tune"))
        built(store, [step])
        artefact = store.load(step.key)
        assert artefact is not None and "opened" not in artefact.meta
        weights.append(artefact.tensors["unembedding.weight"])
    assert not weights[0].equal(weights[1])
