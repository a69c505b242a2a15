"""A pretrained model as a step: where it lies is no part of what it is, it is never copied, and it is tuned as others are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hf_models import saved, strings
from tiny_study import SETTING, revived, tuned

from capbench.errors import UsageError
from capbench.methods.specs.registry import find
from capbench.models.huggingface.loading import load
from capbench.pipeline.build import load_model
from capbench.pipeline.loading import step
from capbench.pipeline.plan import Plan
from capbench.session.refusals import Refusals
from capbench.store.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a Llama that reads the tiny study's strings."""
    path = tmp_path_factory.mktemp("llama")
    saved(path, "llama", vocab_size=len(SETTING.vocabulary), seq_len=SETTING.seq_len)
    return path


def test_its_key_is_what_it_is_and_not_where_it_lies(folder: Path, tmp_path: Path) -> None:
    first, again = step(folder), step(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert first.key == again.key and first.path != again.path
    other = tmp_path / "other"
    saved(other, "llama", vocab_size=len(SETTING.vocabulary), seq_len=SETTING.seq_len, tied=True)
    assert first.key != step(other).key
    assert first.key != step(folder, seq_len=3).key


def test_it_is_fine_tuned_and_revived_and_its_weights_are_not_in_the_store(folder: Path, tmp_path: Path) -> None:
    store, base = Store(tmp_path / "store"), step(folder)
    fine_tuned = tuned(find("full"), base=base)
    assert Plan([fine_tuned, revived(fine_tuned)]).run(store, jobs=1) == {}
    kept = store.load(base.key)
    assert kept is not None and not kept.tensors
    before, after = load_model(base, store), load_model(fine_tuned, store)
    tokens = strings() % len(SETTING.vocabulary)
    assert torch.equal(before(tokens), load(folder)(tokens)) and not torch.equal(before(tokens), after(tokens))
    assert before.config == after.config == base.model
    meta = store.meta(revived(fine_tuned).key)
    assert meta is not None and meta["curves"]["O_PT"]


def test_a_path_that_holds_another_model_now_is_one_line(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    base = step(shutil.copytree(folder, place))
    saved(place, "llama", vocab_size=len(SETTING.vocabulary), seq_len=SETTING.seq_len, tied=True)
    with pytest.raises(UsageError, match="the model there is another one") as error:
        load_model(base, Store(tmp_path / "store"))
    assert "\n" not in str(error.value)
    shutil.rmtree(place)
    (said,) = Plan([base]).run(Store(tmp_path / "store"), jobs=1).values()
    assert "there is no such file or folder" in str(said)


def test_a_method_that_does_not_suit_its_form_is_refused_before_anything_is_read(folder: Path) -> None:
    gone = replace(step(folder), path="gone")
    config = folder.parent / "adapter_config.json"
    config.write_text('{"peft_type": "LORA", "target_modules": ["c_attn"]}')
    refused = tuned(find(f"peft:{config}"), base=gone)
    assert "c_attn" in Refusals().of([refused])[refused.key]
    config.write_text('{"peft_type": "LORA", "target_modules": ["q_proj"]}')
    assert not Refusals().of([tuned(find(f"peft:{config}"), base=gone)])
