"""What may be bundled: base models, and compiled models after the default method, known again under another version of code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import study
from tiny_study import BASE
from tiny_tracr import counter
from tiny_zoo import make

from capbench.methods.specs.registry import find
from capbench.pipeline.steps import FineTune, Step
from capbench.store.store import BUNDLED, Store
from capbench.zoo.alike import by_default, described, independent, key_as, without_code
from capbench.zoo.bundle import build, fill
from capbench.zoo.verify import verify


def compiled(method: str = "full", **arguments: float) -> FineTune:
    made: Any = replace(counter(), method=find(method, arguments=tuple(arguments.items())))
    found: FineTune = made.finetuned(0, c_tr=1, lr="medium")
    return found


def test_only_compiled_models_after_the_default_method_hang_on_no_method_of_a_user_s() -> None:
    tuned, trained = compiled(), study().finetuned(0, prior="low", c_tr=1, lr="medium")
    assert by_default(tuned) and independent(tuned) and independent(tuned.base)
    assert independent(counter().revival(tuned, 0, lr="medium"))
    assert not by_default(tuned.base) and not by_default(BASE) and independent(BASE)
    for other in (compiled("l2-sp"), compiled("lora", rank=2), trained):
        assert not by_default(other) and not independent(other)
    twice: Step = replace(tuned, base=tuned)
    assert not by_default(twice)


@pytest.mark.parametrize("step", [BASE, compiled(), compiled().base, counter().revival(compiled(), 0, lr="medium")])
def test_a_step_s_key_follows_from_its_configuration_written_out(step: Step) -> None:
    assert key_as(described(step)) == step.key
    assert all(parent.key not in str(described(step)) for parent in step.parents)


def test_code_does_not_count_in_what_a_step_is() -> None:
    tuned = compiled()
    edited = replace(tuned, method=replace(tuned.method, digest="0123"))
    assert edited.key != tuned.key and without_code(described(edited)) == without_code(described(tuned))
    other = replace(tuned, train=replace(tuned.train, seed=tuned.train.seed + 1))
    assert without_code(described(other)) != without_code(described(tuned))


def test_a_compiled_model_is_bundled_verified_and_taken(tmp_path: Path) -> None:
    tuned, store, folder = compiled(), Store(tmp_path / "made"), tmp_path / "zoo"
    meta = {"curves": {"O_PT": [[1, 0.5]]}, "steps": 3, "seconds": 1.0, "loss": [[1, 0.5]]}
    store.save(tuned.key, kind="FineTune", config=tuned.config, tensors={"w": torch.ones(2)}, meta=meta)
    make(store, BASE)
    build(folder, [BASE, tuned], store, scale="tiny", seeds=(0,), extended=False, command="capbench zoo build")
    assert {finding.mark for finding in verify(folder, [BASE, tuned])} == {"ok"}
    other = Store(tmp_path / "other")
    taken = fill(other, [BASE, tuned], folder)
    assert (
        (taken.models, taken.tuned)
        == ({BASE.key}, {tuned.key})
        == (taken.taken - {tuned.key}, taken.taken - {BASE.key})
    )
    assert str(taken) == "1 base model and 1 fine-tuned compiled model"
    artefact = other.load(tuned.key)
    assert artefact is not None and artefact.tensors["w"].equal(torch.ones(2)) and artefact.meta[BUNDLED]
    bad = Store(tmp_path / "bad")
    bad.save(tuned.key, kind="FineTune", config=tuned.config, tensors={"w": torch.full((2,), torch.nan)}, meta=meta)
    build(folder, [BASE, tuned], _both(bad), scale="tiny", seeds=(0,), extended=False, command="capbench zoo build")
    assert "WRONG" in {finding.mark for finding in verify(folder, [BASE, tuned])}


def _both(store: Store) -> Store:
    make(store, BASE)
    return store
