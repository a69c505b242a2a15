"""What the tests of the store keep in it, and how they compare it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from capbench.store.keys import key_of
from capbench.store.store import Artefact, Store

KEY = key_of({"test": 1})
TENSORS = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}
CONTENT: dict[str, Any] = {"kind": "test", "config": {"test": 1}, "tensors": TENSORS, "meta": {"loss": [0.5, 0.25]}}
FILES = ("tensors.safetensors", "meta.json")


def saved(store: Store, key: str = KEY) -> Path:
    """The directory of a freshly saved artefact."""
    store.save(key, **CONTENT)
    return store.root / "artefacts" / key[:2] / key


def same_tensors(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name]
        .contiguous()
        .flatten()
        .view(torch.uint8)
        .equal(right[name].contiguous().flatten().view(torch.uint8))
        for name in left
    )


def built(store: Store, counts: list[int], key: str = KEY) -> Artefact:
    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        counts.append(1)
        return TENSORS, CONTENT["meta"]

    return store.get_or_build(key, build, kind="test", config=CONTENT["config"])


def assert_nothing_saved(store: Store) -> None:
    assert not store.has(KEY)
    assert list((store.root / "artefacts").glob("*/*")) == []
    assert list((store.root / "tmp").iterdir()) == []
