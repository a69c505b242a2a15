"""What is told of models that an earlier run made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from report_example import record

from capbench.results import Record
from capbench.session.doubts import doubts
from capbench.store.store import BUNDLED, Store

HERE = metadata.version("torch")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "cache")


def of(store: Store, *metas: Mapping[str, Any], method: str = "mine.py:tune") -> Record:
    """A record of models with this metadata."""
    keys = {f"tuned/{i}": f"{abs(hash((method, i))):032x}"[:32] for i in range(len(metas))}
    for key, meta in zip(keys.values(), metas, strict=True):
        store.save(key, kind="FineTune", config={}, tensors={}, meta=meta)
    return replace(record(), method=method, artefacts=keys)


def test_of_models_made_here_from_what_is_in_their_keys_nothing_is_told(store: Store) -> None:
    assert doubts([of(store, {"torch": HERE}, {}), replace(record(), artefacts={"tuned/0": "00"})], store) == ()


def test_the_files_of_all_a_methods_models_are_told_in_one_line(store: Store, tmp_path: Path) -> None:
    one = of(store, {"opened": [f"{tmp_path}/b.json"]}, {"opened": [f"{tmp_path}/sub/a.pt", "/data/c.json"]})
    other = of(store, {"opened": [f"{tmp_path}/{i}.json" for i in range(5)]}, method="other")
    first, second = doubts([one, other], store)
    assert "method mine.py:tune reads /data/c.json, b.json, sub/a.pt, which are in no key: " in first
    assert "method other reads 0.json, 1.json, 2.json and 2 more, which are in no key: " in second


def test_variables_are_told_like_files(store: Store) -> None:
    assert doubts([of(store, {"environment": ["FACTOR"]}, {"environment": ["A"]})], store) == (
        "method mine.py:tune reads the environment variables A, FACTOR, which are in no key: after a change its models are "
        "reused and its results are stale; give such values with --capbench-method-arg",
    )


def test_models_that_another_torch_made_are_counted(store: Store) -> None:
    number = HERE.partition("+")[0]
    found = of(store, {"torch": "1.0.0"}, {"torch": "1.0.0+cu1"}, {"torch": f"{number}+other"}, {"torch": "1.1"})
    bundled = of(store, {"torch": "1.2", BUNDLED: True}, method="full")
    lines = doubts([found, found, bundled], store)
    assert [line.partition(";")[0] for line in lines] == [
        "2 models were made with torch 1.0.0 and reused",
        "1 model was made with torch 1.1 and reused",
    ]
    assert all(f"this is torch {number}, which may round differently" in line for line in lines)


def test_a_damaged_model_is_told_of_elsewhere(store: Store) -> None:
    found = of(store, {"opened": ["a.json"]})
    for file in (store.root / "artefacts").glob("*/*/meta.json"):
        file.write_text("{}")
    assert doubts([found], store) == ()
