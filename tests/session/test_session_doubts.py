"""What is told of models that an earlier run made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from report_example import record

from capbench.methods.specs.depends import content
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
    far = tmp_path.parent / f"{tmp_path.name}.json"
    files = {name: tmp_path / name for name in ("b.json", "sub/a.pt", *(f"{i}.json" for i in range(5)))} | {"far": far}
    (tmp_path / "sub").mkdir()
    for file in files.values():
        file.write_text("1")
    now = {name: {str(file): content(file)} for name, file in files.items()}
    one = of(store, {"opened": now["b.json"]}, {"opened": now["sub/a.pt"] | now["far"]})
    other = of(
        store, {"opened": {name: was for i in range(5) for name, was in now[f"{i}.json"].items()}}, method="other"
    )
    assert doubts([one, other], store) == (
        f"method mine.py:tune reads {far}, b.json, sub/a.pt, which are in no key: after an edit its results would be stale; "
        f"declare them with --capbench-method-depends={far}",
        "method other reads 0.json, 1.json, 2.json and 2 more, which are in no key: after an edit its results would be stale; "
        "declare them with --capbench-method-depends=0.json",
    )
    files["b.json"].write_text("2")
    far.unlink()
    assert doubts([one], store) == (
        f"method mine.py:tune reads {far}, b.json, which are in no key and were edited since: its results are stale; "
        f"declare them with --capbench-method-depends={far}",
        "method mine.py:tune reads sub/a.pt, which is in no key: after an edit its results would be stale; "
        "declare it with --capbench-method-depends=sub/a.pt",
    )


def test_variables_are_told_like_files(store: Store) -> None:
    assert doubts([of(store, {"environment": ["FACTOR"]}, {"environment": ["A"]})], store) == (
        "method mine.py:tune reads the environment variables A, FACTOR, which are in no key: after a change its results "
        "would be stale; give such values with --capbench-method-arg",
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
    found = of(store, {"opened": {"a.json": "0"}})
    for file in (store.root / "artefacts").glob("*/*/meta.json"):
        file.write_text("{}")
    assert doubts([found], store) == ()
