"""Adapters of PEFT from a folder: merged into the model that they were trained on, and refused on any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from hf_models import SIZES, around, close, own, saved, strings
from safetensors.torch import load_file, save_file

from capbench.errors import UsageError
from capbench.models.huggingface.adapter import WEIGHTS, adapter_identity, is_adapter, merged
from capbench.models.huggingface.source import ADAPTER

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of transformers, for what PEFT asks of it


def trained(folder: Path, **settings: Any) -> Any:
    """An adapter with random updates on transformers' model, saved as PEFT saves it; and the model with it."""
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], **settings)
    wrapped = peft.get_peft_model(own("llama"), config)
    with torch.no_grad():
        for i, (name, parameter) in enumerate(sorted(wrapped.named_parameters())):
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.3)
    wrapped.save_pretrained(folder)
    return wrapped.eval()


def test_an_adapter_is_merged_as_peft_itself_answers(tmp_path: Path) -> None:
    theirs = trained(tmp_path)
    model = around(own("llama"), "llama")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = merged(model, tmp_path)
    close(found(strings()), theirs(input_ids=strings()).logits)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert found.state_dict().keys() == before.keys() and is_adapter(tmp_path) and not is_adapter(tmp_path / "no")
    one = adapter_identity(tmp_path)
    save_file({n: w + 1 for n, w in load_file(tmp_path / WEIGHTS).items()}, tmp_path / WEIGHTS)
    assert adapter_identity(tmp_path) != one


def test_an_adapter_of_another_model_is_refused_in_one_line(tmp_path: Path) -> None:
    trained(tmp_path / "adapter")
    saved(tmp_path / "one", "llama")
    saved(tmp_path / "other", "llama", vocab_size=SIZES["vocab_size"] + 1)
    file = tmp_path / "adapter" / ADAPTER
    plain = json.loads(file.read_text())

    def refused(family: str = "llama", base: str | None = None, **changes: Any) -> str:
        with pytest.raises(UsageError) as error:
            merged(around(own(family, **changes), family, **changes), tmp_path / "adapter", base=base)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "the adapter does not fit a gpt2" in refused("gpt2")
    file.write_text(json.dumps({**plain, "base_model_name_or_path": str(tmp_path / "other")}))
    assert "which is another model than" in refused(base=str(tmp_path / "one"))
    file.write_text(json.dumps({**plain, "base_model_name_or_path": "somebody/else"}))
    merged(around(own("llama"), "llama"), tmp_path / "adapter", base=tmp_path / "one")  # a name tells nothing here
    file.write_text(json.dumps({**plain, "target_modules": ["q_proj"]}))
    assert "has no place for" in refused()
    file.write_text(json.dumps({**plain, "target_modules": ["q_proj", "down_proj", "v_proj"]}))
    assert "the file lacks" in refused()
    file.write_text(json.dumps(plain))
    (tmp_path / "adapter" / WEIGHTS).rename(tmp_path / "adapter" / "adapter_model.bin")
    assert "adapter_model.bin, which may be a pickle, is not read" in refused()
