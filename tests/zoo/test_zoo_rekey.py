"""Rekeying bundled models: new keys only where training again gives the same bits, and nothing changes where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_study import BASE
from tiny_zoo import DAMAGE, OTHER, STEPS, change, content, make

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.store.keys import key_of
from capbench.store.store import BUNDLED, Store
from capbench.zoo.manifest import Manifest, read
from capbench.zoo.rekey import outdated, rekey
from capbench.zoo.verify import verify

OLD = key_of({**BASE.config, "code": "0123"})


def found(folder: Path) -> Manifest:
    manifest = read(folder)
    assert manifest is not None
    return manifest


@pytest.fixture
def old(zoo: Path) -> Path:
    """The models as another version of the code made them: BASE has another key."""

    def older(raw: dict[str, list[dict[str, str]]]) -> None:
        entry = next(m for m in raw["models"] if m["key"] == BASE.key)
        entry["config"] = {**dict(entry["config"]), "code": "0123"}
        entry["key"], entry["code"] = OLD, "0123"

    change(zoo, older)
    return zoo


def test_models_get_the_keys_of_the_code_as_it_is_now(old: Path, origin: Store, tmp_path: Path) -> None:
    before, weights = found(old), {n: d for n, d in content(old).items() if n.suffix == ".safetensors"}
    assert outdated(old, STEPS) == {OLD: BASE}
    assert [f.mark for f in verify(old, STEPS)].count("old") == 1
    after = rekey(old, STEPS, origin)
    assert found(old) == after and set(after.by_key) == {BASE.key, OTHER.key}
    assert {f.mark for f in verify(old, STEPS)} == {"ok"}
    # The same bits, and the manifest says under which key they were made.
    assert [e.sha256 for e in after.models] == [e.sha256 for e in before.models]
    assert [e.made_as for e in after.models] == [OLD if e.key == BASE.key else "" for e in after.models]
    assert after.by_key[BASE.key].config["code"] == BASE.config["code"]
    said = make(Store(tmp_path / "new"), BASE)
    assert any("1 base model taken from the package" in line for line in said)
    assert {name: data for name, data in content(old).items() if name.suffix == ".safetensors"} == weights
    # Once more: there is nothing to do, and the key of the making stays.
    unchanged = content(old)
    assert outdated(old, STEPS) == {} and rekey(old, STEPS, origin) == after and content(old) == unchanged


def test_a_model_that_is_asked_for_is_not_outdated_by_one_of_another_architecture_of_its_name(zoo: Path) -> None:
    name = BASE.start.architecture.partition(":")[2]
    namesake = replace(BASE, start=replace(BASE.start, architecture=f"textwrap:{name}"))
    assert namesake.key != BASE.key and outdated(zoo, [*STEPS, namesake]) == {}


def trained_otherwise(store: Store, how: Callable[[dict[str, torch.Tensor], dict[str, object]], None]) -> None:
    """BASE in a store, with other weights or curves than it has."""
    assert Plan([BASE.start]).run(store, jobs=1) == {}
    Plan([BASE]).run(made := Store(store.root.parent / "made"), jobs=1)
    artefact = made.load(BASE.key)
    assert artefact is not None
    tensors, meta = {name: tensor.clone() for name, tensor in artefact.tensors.items()}, dict(artefact.meta)
    how(tensors, meta)
    store.save(BASE.key, kind="Pretrain", config=BASE.config, tensors=tensors, meta=meta)


@pytest.mark.parametrize(
    "how, said",
    [
        (
            lambda tensors, meta: tensors["unembedding.weight"].view(-1)[0].mul_(1 + 1e-6),
            "'unembedding.weight' differs",
        ),
        (lambda tensors, meta: tensors.pop("unembedding.weight"), "'unembedding.weight' is gone"),
        (lambda tensors, meta: meta.update(curves={}), "its curves differ"),
        (lambda tensors, meta: meta.update({BUNDLED: True}), "was not trained by the code as it is now"),
    ],
)
def test_other_bits_change_nothing_and_are_one_line(
    old: Path, tmp_path: Path, how: Callable[[dict[str, torch.Tensor], dict[str, object]], None], said: str
) -> None:
    before = content(old)
    trained_otherwise(store := Store(tmp_path / "cache"), how)
    with pytest.raises(CapbenchError, match=said) as error:
        rekey(old, STEPS, store)
    assert "\n" not in str(error.value) and content(old) == before


def test_a_model_that_was_not_trained_again_proves_nothing(old: Path, tmp_path: Path) -> None:
    with pytest.raises(CapbenchError, match="nothing proves its bits"):
        rekey(old, STEPS, Store(tmp_path / "empty"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_not_given_a_new_key(zoo: Path, origin: Store, damage: Callable[[Path], str]) -> None:
    said = damage(zoo)
    before = content(zoo)
    with pytest.raises(CapbenchError, match=said) as error:
        rekey(zoo, STEPS, origin)
    assert "run capbench zoo build" in str(error.value) and content(zoo) == before


def test_without_a_manifest_there_is_nothing_to_rekey(tmp_path: Path, origin: Store) -> None:
    with pytest.raises(UsageError, match=r"has no manifest.json: there is nothing to rekey"):
        rekey(tmp_path, STEPS, origin)
