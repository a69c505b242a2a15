"""Bundling base models: what the manifest says of them, building again, being cut off, and what training again finds."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tiny_study import BASE, START
from tiny_zoo import LONGER, OTHER, STEPS, bundled, content, file_of, make, put

import capbench.zoo.bundle as bundle
from capbench.errors import CapbenchError
from capbench.pipeline.steps import Pretrain
from capbench.store.store import BUNDLED, Store
from capbench.studies import registry
from capbench.zoo.bundle import fill, load
from capbench.zoo.manifest import FOLDER, read
from capbench.zoo.verify import verify


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_the_manifest_says_what_each_model_is_and_how_it_was_made(original: Path, origin: Store) -> None:
    found = read(original)
    assert found is not None and found.command == "capbench zoo build" and found.seeds == (0,)
    assert set(found.by_key) == {step.key for step in STEPS}
    entry, artefact = found.by_key[BASE.key], origin.load(BASE.key)
    assert artefact is not None and entry.accuracies == {"O_PT": artefact.meta["curves"]["O_PT"][-1][1]}
    assert (entry.steps, entry.label, entry.code) == (6, BASE.label, BASE.config["code"])
    assert entry.config == {**BASE.config, "start": START.config} and entry.config["start"]["model"]["d_model"] == 8
    data = file_of(original).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry.sha256, entry.size)
    assert load(original, entry)[1] == artefact.meta
    # Anybody can read a file: it is plain safetensors, float32.
    assert {t.dtype for t in safetensors.torch.load_file(file_of(original)).values()} == {torch.float32}


def test_building_again_gives_the_same_files_and_leaves_no_old_ones(zoo: Path, origin: Store) -> None:
    before = content(zoo)
    bundled(zoo, origin)
    assert content(zoo) == before
    bundled(zoo, origin, [OTHER])
    assert sorted(f.name for f in zoo.rglob("*")) == sorted(["manifest.json", "models", file_of(zoo, OTHER).name])


def test_too_large_is_refused_and_changes_nothing(zoo: Path, origin: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LIMIT", 5000)
    before = sorted(zoo.rglob("*"))
    with pytest.raises(CapbenchError, match=r"2 models take .* MB, more than the 0.005 MB"):
        bundled(zoo, origin)
    assert sorted(zoo.rglob("*")) == before


def test_what_was_taken_from_the_package_is_bundled_as_it_was(zoo: Path, empty: Store, tmp_path: Path) -> None:
    make(empty, *STEPS)
    bundled(tmp_path / "again", empty)
    assert content(tmp_path / "again") == content(zoo)


class Killed(BaseException):
    """Nothing is done after it, not even what is done in any case."""


def dying(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """After so many changes of the disk the process is dead; what it wrote last is half there."""
    left = after

    def until_then(place: Any, name: str, last_words: Callable[..., object] = lambda *_: None) -> None:
        real = getattr(place, name)

        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left <= 0:
                if left == 0:
                    last_words(real, *arguments)
                left = -1
                raise Killed
            left -= 1
            return real(*arguments, **more)

        monkeypatch.setattr(place, name, call)

    until_then(Path, "write_bytes", lambda write, file, data: write(file, data[: len(data) // 2]))
    until_then(Path, "unlink")
    until_then(os, "replace")


def test_a_build_that_is_killed_at_any_moment_leaves_a_whole_zoo(
    original: Path, origin: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two models before one is trained again, with other weights, and one goes; one is new."""
    again, new = Store(tmp_path / "again"), [BASE, LONGER]
    before = origin.load(BASE.key)
    assert before is not None
    for factor, step in enumerate(new, start=2):
        tensors = {name: factor * tensor for name, tensor in before.tensors.items()}
        again.save(step.key, kind="Pretrain", config=step.config, tensors=tensors, meta=before.meta)
    bundled(expected := tmp_path / "expected", again, new)
    seen = set()
    for after in itertools.count():
        folder = shutil.copytree(original, tmp_path / f"zoo {after}")
        with monkeypatch.context() as patched:
            dying(patched, after=after)
            try:
                bundled(folder, again, new)
            except Killed:
                ended = False
            else:
                ended = True
        manifest = read(folder)
        assert manifest is not None and manifest in (read(original), read(expected))
        steps = [step for step in (BASE, OTHER, LONGER) if step.key in manifest.by_key]
        filled = fill(Store(tmp_path / f"cache {after}"), steps, folder)
        assert filled.warnings == () and filled.taken == manifest.by_key.keys()
        seen |= {finding.mark for finding in verify(folder, steps)}
        bundled(folder, again, new)
        assert content(folder) == content(expected)
        if ended:
            break
    assert after == 11  # three files are written beside, renamed, and the drafts looked for; two are removed
    assert seen == {"ok", "stray"}


def trained_again(folder: Path, step: Pretrain, store: Store, **tolerance: float) -> None:
    """That training finds the bundled weights. Raises AssertionError if not."""
    manifest = read(folder)
    assert manifest is not None
    make(store, step, bundled=False)
    artefact = store.load(step.key)
    assert artefact is not None and BUNDLED not in artefact.meta
    for name, expected in load(folder, manifest.by_key[step.key])[0].items():
        torch.testing.assert_close(artefact.tensors[name], expected, msg=name, **tolerance)


def test_training_again_finds_the_same_weights(zoo: Path, empty: Store) -> None:
    """What is bundled is what training makes: here to the bit, as it is the same machine."""
    trained_again(zoo, BASE, empty, rtol=0, atol=0)
    with pytest.raises(AssertionError):  # of other weights it would be said
        put(zoo, safetensors.torch.save(*_other_weights(zoo)))
        trained_again(zoo, BASE, empty, rtol=1e-2, atol=1e-3)


def _other_weights(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    manifest = read(folder)
    assert manifest is not None
    tensors, meta = load(folder, manifest.by_key[BASE.key])
    return {name: tensor + 0.1 for name, tensor in tensors.items()}, {"capbench": json.dumps(meta)}


@pytest.mark.skipif(not os.environ.get("CAPBENCH_THOROUGH"), reason="trains a model of scale small: minutes")
def test_the_cheapest_model_of_the_package_is_what_training_makes(empty: Store) -> None:
    manifest = read(FOLDER)
    if manifest is None:
        pytest.skip("nothing is bundled")
    study: Any = registry.make("pcfg-counter", scale=manifest.scale)
    steps = [study.base(0, prior=prior, duration=share) for prior in ("low", "never", "high") for share in (0.5, 1)]
    bundled_ones = [step for step in steps if step.key in manifest.by_key]  # none: `capbench zoo verify` fails
    trained_again(FOLDER, min(bundled_ones, key=lambda step: step.cost), empty, rtol=1e-2, atol=1e-3)


def test_the_package_s_own_models_are_whole() -> None:
    """Whatever is bundled: every file as its manifest has it, none besides, 30 MB in all."""
    total = 0
    for folder in bundle.folders():
        manifest = read(folder)
        entries = () if manifest is None else manifest.models
        for entry in entries:
            load(folder, entry)
        assert {f"models/{file.name}" for file in folder.glob("models/*")} == {entry.file for entry in entries}
        total += 0 if manifest is None else manifest.size
    assert total <= bundle.LIMIT
