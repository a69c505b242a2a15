"""Rekeying bundled models: new keys only where the code before and after trains alike, and nothing changes where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import BASE
from tiny_zoo import DAMAGE, OTHER, STEPS, change, content, make

from capbench.errors import CapbenchError, UsageError
from capbench.store.keys import key_of
from capbench.store.store import Store
from capbench.zoo.alike import described, without_code
from capbench.zoo.manifest import Manifest, read
from capbench.zoo.rekey import outdated, rekey
from capbench.zoo.trace import Trace, short
from capbench.zoo.verify import verify

OLD = key_of({**BASE.config, "code": "0123"})
NAME = without_code(described(BASE))


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


def test_models_get_the_keys_of_the_code_as_it_is_now(old: Path, trace: Trace, tmp_path: Path) -> None:
    before, weights = found(old), {n: d for n, d in content(old).items() if n.suffix == ".safetensors"}
    assert outdated(old, STEPS) == {OLD: BASE}
    assert [f.mark for f in verify(old, STEPS)].count("old") == 1
    after = rekey(old, STEPS, before=trace, now=trace)
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
    assert (
        outdated(old, STEPS) == {} and rekey(old, STEPS, before=trace, now=trace) == after and content(old) == unchanged
    )


def test_a_model_that_is_asked_for_is_not_outdated_by_one_of_another_architecture_of_its_name(zoo: Path) -> None:
    name = BASE.start.architecture.partition(":")[2]
    namesake = replace(BASE, start=replace(BASE.start, architecture=f"textwrap:{name}"))
    assert namesake.key != BASE.key and outdated(zoo, [*STEPS, namesake]) == {}


def test_code_that_trains_otherwise_changes_nothing_and_is_one_line(old: Path, trace: Trace) -> None:
    before = content(old)
    other = replace(trace, digests={**trace.digests, NAME: "0123"})
    with pytest.raises(
        CapbenchError, match=f"trains otherwise than before: {trace.steps} steps give other bits"
    ) as error:
        rekey(old, STEPS, before=trace, now=other)
    assert "\n" not in str(error.value) and content(old) == before


@pytest.mark.parametrize("when", ["before", "now"])
def test_a_model_that_was_not_traced_proves_nothing(old: Path, trace: Trace, when: str) -> None:
    traces = {"before": trace, "now": trace, when: replace(trace, digests={})}
    with pytest.raises(CapbenchError, match=f"not in the trace of the code {when}"):
        rekey(old, STEPS, **traces)


CHANGES: list[Callable[[dict[str, torch.Tensor], dict[str, Any]], object]] = [
    lambda tensors, meta: tensors["unembedding.weight"].view(-1)[0].mul_(1 + 1e-6),
    lambda tensors, meta: tensors.pop("unembedding.weight"),
    lambda tensors, meta: meta.update(curves={}),
    lambda tensors, meta: meta["loss"][-1].__setitem__(1, 0.5),
]


@pytest.mark.parametrize("how", CHANGES)
def test_every_bit_of_a_short_training_counts(trace: Trace, traced: Store, tmp_path: Path, how: Any) -> None:
    artefact = traced.load(short(BASE).key)
    assert artefact is not None
    tensors = {name: tensor.clone() for name, tensor in artefact.tensors.items()}
    meta = json.loads(json.dumps(artefact.meta))
    later, other = Store(tmp_path / "later"), Store(tmp_path / "other")
    later.save(short(BASE).key, kind="Pretrain", config={}, tensors=tensors, meta={**meta, "seconds": 1.0})
    assert Trace.of([BASE], later).digests == {NAME: trace.digests[NAME]}  # the clock does not count
    how(tensors, meta)
    other.save(short(BASE).key, kind="Pretrain", config={}, tensors=tensors, meta=meta)
    assert Trace.of([BASE], other).digests[NAME] != trace.digests[NAME]


def test_a_short_training_passes_through_the_whole_schedule_and_is_watched() -> None:
    long = replace(BASE, train=replace(BASE.train, steps=5000))
    assert short(long).train == replace(long.train, steps=200) and short(long).watch_every == 100
    assert short(BASE).train == BASE.train  # it is short already


def test_a_trace_is_read_as_it_was_written(trace: Trace, tmp_path: Path) -> None:
    trace.write("--bits", tmp_path / "bits.json")
    assert Trace.read("--bits", tmp_path / "bits.json") == trace


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "not a file that `capbench zoo trace` wrote"),
        ("{", "not a file that `capbench zoo trace` wrote"),
        ('{"torch": 1}', "not a file that `capbench zoo trace` wrote"),
        ('{"torch": "1.0", "machine": "", "steps": 200, "digests": {}}', "made with torch 1.0, here it is"),
    ],
)
def test_a_file_that_is_no_trace_of_this_machine_is_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "bits.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=said) as error:
        Trace.read("--bits", file)
    assert str(error.value).startswith(f"--bits={file}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_not_given_a_new_key(zoo: Path, trace: Trace, damage: Callable[[Path], str]) -> None:
    said = damage(zoo)
    before = content(zoo)
    with pytest.raises(CapbenchError, match=said) as error:
        rekey(zoo, STEPS, before=trace, now=trace)
    assert "run capbench zoo build" in str(error.value) and content(zoo) == before


def test_without_a_manifest_there_is_nothing_to_rekey(tmp_path: Path, trace: Trace) -> None:
    with pytest.raises(UsageError, match=r"has no manifest.json: there is nothing to rekey"):
        rekey(tmp_path, STEPS, before=trace, now=trace)
