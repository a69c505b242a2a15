"""Two bundled models that are made in a moment, and ways to damage them. The fixtures `origin` and `zoo` are in conftest.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
from tiny_study import BASE, TRAIN

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Pretrain
from capbench.session.making import make as make_plan
from capbench.session.options.at_once import AtOnce
from capbench.store.store import BUNDLED, Store
from capbench.zoo.bundle import build
from capbench.zoo.manifest import Manifest, read

OTHER = replace(BASE, train=replace(TRAIN, seed=1))
LONGER = replace(BASE, train=replace(TRAIN, steps=8))  # never bundled here
STEPS = [BASE, OTHER]
COMMAND = "capbench zoo build"


def bundled(folder: Path, store: Store, steps: list[Pretrain] = STEPS) -> Manifest:
    assert Plan(steps).run(store, jobs=1) == {}
    return build(folder, steps, store, scale="tiny", seeds=(0,), extended=False, command=COMMAND)


def make(store: Store, *steps: Pretrain, **more: Any) -> list[str]:
    """Make the steps; what was said."""
    said: list[str] = []
    assert make_plan(Plan(steps), store, at_once=AtOnce(), say=said.append, **more) == {}
    return said


def same(left: Store, right: Store, key: str) -> bool:
    """The same bits, and the same of their training but for the time that it took."""
    one, other = left.load(key), right.load(key)
    assert one is not None and other is not None
    meta = [{**artefact.meta, "seconds": None, BUNDLED: None} for artefact in (one, other)]
    return (
        one.tensors.keys() == other.tensors.keys()
        and all(one.tensors[name].equal(other.tensors[name]) for name in one.tensors)
        and meta[0] == meta[1]
    )


def change(folder: Path, how: Callable[[Any], object]) -> None:
    file = folder / "manifest.json"
    how(raw := json.loads(file.read_text()))
    file.write_text(json.dumps(raw))


def file_of(folder: Path, step: Pretrain = BASE) -> Path:
    manifest = read(folder)
    assert manifest is not None
    return folder / manifest.by_key[step.key].file


def content(folder: Path) -> dict[Path, bytes]:
    """All files, hidden ones too."""
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def flip(folder: Path) -> str:
    changed = bytearray(file_of(folder).read_bytes())
    changed[-1] ^= 1
    file_of(folder).write_bytes(changed)
    return "SHA-256 differs"


def cut(folder: Path) -> str:
    file_of(folder).write_bytes(file_of(folder).read_bytes()[:100])
    return "SHA-256 differs"


def lose(folder: Path) -> str:
    file_of(folder).unlink()
    return "is missing"


def turn_into_a_folder(folder: Path) -> str:
    file_of(folder).unlink()
    file_of(folder).mkdir()
    return "cannot be read"


def put(folder: Path, content: bytes) -> None:
    """Other content, and the manifest agrees."""
    file_of(folder).unlink()
    said = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    change(folder, lambda raw: next(m for m in raw["models"] if m["key"] == BASE.key).update(said))
    file_of(folder).write_bytes(content)


def no_safetensors(folder: Path) -> str:
    put(folder, b"nonsense")
    return "is not a bundled model's file"


def bare_weights(folder: Path) -> str:
    put(folder, safetensors.torch.save(safetensors.torch.load_file(file_of(folder))))
    return "is not a bundled model's file"


DAMAGE = [flip, cut, lose, turn_into_a_folder, no_safetensors, bare_weights]
