"""What cannot be loaded is refused in one line that says how to cure it, before its weights are read."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_models import FAMILIES, config, saved
from test_hf_loading import write_gguf, write_tokenizer

from capbench.errors import UsageError
from capbench.models.huggingface import memory, small
from capbench.models.huggingface.config import HuggingFaceConfig, settings
from capbench.models.huggingface.identity import identity
from capbench.models.huggingface.loading import Pretrained, load
from capbench.models.huggingface.model import HuggingFace

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 269060552\n"


class Harmful:
    """A pickle of this writes a file when it is read."""

    def __reduce__(self) -> Any:
        return (open, ("harmed", "w"))


def refused(path: Path | str, *, by: Callable[..., Any] = load) -> str:
    with pytest.raises(UsageError) as caught:
        by(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and Path(path).name in message
    return message


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    kept = {n: v for n, v in {**json.loads(file.read_text()), **changes}.items() if v is not None}
    file.write_text(json.dumps(kept))


def test_nothing_there(tmp_path: Path) -> None:
    assert "there is no such file or folder" in refused(tmp_path / "gone")
    assert "models are not downloaded" in refused("someone/some-model")
    (tmp_path / "a.txt").write_text("text")
    assert "must be a folder with config.json and model.safetensors, or a .gguf file" in refused(tmp_path / "a.txt")


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    assert "the folder has no config.json" in refused(tmp_path)
    write_gguf(tmp_path / "model-q4.gguf", tied=True)
    assert "did you mean" in refused(tmp_path) and "model-q4.gguf" in refused(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "weights.safetensors")
    assert "neither model.safetensors nor model.safetensors.index.json, though it has weights" in refused(tmp_path)


@pytest.mark.parametrize("by", [load, identity])
def test_a_shard_is_missing(by: Callable[..., Any], tmp_path: Path) -> None:
    saved(tmp_path, max_shard_size="8KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    shards[1].unlink()
    assert f"{shards[1].name} of {len(shards)} files of weights is missing" in refused(tmp_path, by=by)
    shards[2].unlink()
    assert f"{shards[1].name} and 1 more of" in refused(tmp_path, by=by)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert "must have a weight_map" in refused(tmp_path / "model.safetensors.index.json", by=lambda p: by(p.parent))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("by", [load, identity])
def test_a_git_lfs_pointer(name: str, by: Callable[..., Any], tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / name).write_bytes(POINTER)
    assert f"{name}: a Git LFS pointer in place of the file; fetch it with `git lfs pull`" in refused(tmp_path, by=by)
    (tmp_path / "m.gguf").write_bytes(POINTER)
    assert "Git LFS pointer" in refused(tmp_path / "m.gguf", by=by)


def test_a_pickle_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Harmful()))
    for path in (tmp_path, tmp_path / "pytorch_model.bin"):
        message = refused(path)
        assert "pytorch_model.bin: a pickle, which can run code" in message and "save_pretrained(FOLDER)" in message
    assert not Path("harmed").exists()


def test_weights_that_are_cut_off_or_something_else(tmp_path: Path) -> None:
    saved(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for content in (whole[:-10], whole[:100], b"", b"PK\x03\x04" * 30):
        weights.write_bytes(content)
        assert "no whole safetensors file" in refused(tmp_path)
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04" * 30)
    assert "not a GGUF file" in refused(tmp_path / "m.gguf")
    write_gguf(tmp_path / "m.gguf", tied=True)
    (tmp_path / "m.gguf").write_bytes((tmp_path / "m.gguf").read_bytes()[:200])
    assert "cannot be read as GGUF" in refused(tmp_path / "m.gguf")


def test_weights_that_are_too_few_or_too_many(tmp_path: Path) -> None:
    saved(tmp_path)
    change_config(tmp_path, num_hidden_layers=4)
    assert "the files lack model.layers.3.input_layernorm.weight and 8 more" in refused(tmp_path)
    change_config(tmp_path, num_hidden_layers=2)
    assert "has no place for model.layers.2" in refused(tmp_path)


def test_weights_of_another_size(tmp_path: Path) -> None:
    saved(tmp_path)
    change_config(tmp_path, intermediate_size=48)
    refused(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": None}, "config.json must say its model_type"),
        ({"model_type": "t5"}, "a t5 has an encoder"),
        ({"model_type": "bert"}, "this bert is an encoder, which sees later tokens"),
        ({"model_type": "vit"}, "a vit is no causal language model"),
        ({"model_type": "never-heard-of"}, "transformers cannot load its configuration"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "its weights are quantised"),
        ({"num_attention_heads": "three"}, "transformers cannot load its configuration"),
    ],
)
def test_a_model_of_another_kind(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved(tmp_path)
    change_config(tmp_path, **changes)
    assert said in refused(tmp_path)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path)
    (tmp_path / "modeling_own.py").write_text("open('harmed', 'w')\nclass Own: pass\nclass OwnConfig: pass\n")
    auto = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
    change_config(tmp_path, model_type="own", auto_map=auto)
    refused(tmp_path)
    change_config(tmp_path, model_type="llama")  # known to transformers: its own class is used
    assert type(load(tmp_path).hf).__name__ == "LlamaForCausalLM"
    assert not Path("harmed").exists()


def test_a_configuration_that_is_no_json(tmp_path: Path) -> None:
    saved(tmp_path)
    for text, said in (("{", "not JSON"), ("[]", "must be a JSON object")):
        (tmp_path / "config.json").write_text(text)
        assert said in refused(tmp_path)
    (tmp_path / "config.json").write_text("{}", encoding="utf-16")
    assert "UTF-16" in refused(tmp_path)


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "merge the adapter" in refused(tmp_path)


def test_a_tokenizer_that_does_not_fit(tmp_path: Path) -> None:
    saved(tmp_path)
    write_tokenizer(tmp_path, 12)
    assert "the tokenizer has 12 tokens and the model's embedding 11" in refused(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "no tokenizer" in refused(tmp_path / "tokenizer.json", by=lambda p: load(p.parent))
    write_gguf(tmp_path / "m.gguf", tied=True, n_tokens=7)
    assert "the tokenizer has 7 tokens and the model's embedding 6" in refused(tmp_path / "m.gguf")


@pytest.mark.parametrize("family", ["llama", "recurrent_gemma"])  # transformers would make one up of special tokens
def test_a_tokenizer_that_is_not_there(family: str, tmp_path: Path) -> None:
    saved(tmp_path, family)
    with (
        Pretrained.at(tmp_path) as found,
        pytest.raises(UsageError, match=r"there is no tokenizer, such as tokenizer\.json"),
    ):
        found.tokenizer()


def test_more_memory_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path)
    read: list[str] = []
    with Pretrained.at(tmp_path) as found:
        monkeypatch.setattr(memory, "available", lambda: found.memory - 1)
        monkeypatch.setattr(
            "transformers.AutoModelForCausalLM.from_pretrained", lambda *_, **__: read.append("weights")
        )
        with pytest.raises(UsageError, match=r"takes 38\.3 kB of memory, and 38\.3 kB is available"):
            found.load()
    assert not read


def test_memory_in_words() -> None:
    assert [memory.shown(n) for n in (0, 999, 1500, 538_060_032, 999_600, 3e13)] == [
        *("0 B", "999 B", "1.5 kB", "538 MB", "1 MB", "30 TB")
    ]
    assert 0 < memory.available() < 1e15


def test_the_package_gguf_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "m.gguf", tied=True)
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert "needs the package gguf; pip install 'capbench[hf]'" in refused(tmp_path / "m.gguf")


def test_strings_longer_than_the_model_takes(tmp_path: Path) -> None:
    saved(tmp_path)
    assert "seq_len 13 must be at most 12" in refused(tmp_path, by=lambda p: load(p, seq_len=13))


# ---- configurations


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocab_size": 0}, "vocab_size 0 must be at least 1"),
        ({"n_blocks": -1}, "n_blocks -1"),
        ({"settings": "[]"}, "must be a JSON object"),
        ({"settings": "{"}, "must be a JSON object"),
        ({"settings": '{"a": 1}'}, "must be JSON with sorted keys"),
        ({"settings": '{"vocab_size":3}'}, "'vocab_size' has a field of its own, vocab_size"),
    ],
)
def test_a_configuration_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    sizes: dict[str, Any] = {"vocab_size": 5, "seq_len": 5, "n_blocks": 1, "d_model": 8, "family": "llama"}
    with pytest.raises(UsageError) as caught:
        HuggingFaceConfig(**{**sizes, **changes})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("llama", {"n_heads": 3}, "d_model 16 must be a multiple of n_heads 3"),
        ("llama", {"n_heads": 16}, "heads of width 2, 4, ..."),
        ("gpt_neox", {"n_heads": 4}, "heads of width 8, 16, ..."),
        ("recurrent_gemma", {"n_heads": 8}, "heads of width 4, 8, ..."),
        ("mamba2", {"n_heads": 0}, "n_heads 0"),
        ("gpt2", {"n_heads": 5}, "n_heads 5"),
    ],
)
def test_sizes_that_do_not_go_together(family: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(family, **changes)
    assert said in str(caught.value)


def test_what_transformers_refuses() -> None:
    sizes: dict[str, Any] = {"vocab_size": 5, "seq_len": 5, "n_blocks": 1, "d_model": 8}
    with pytest.raises(UsageError, match="model_type 'lama' is not one that transformers knows"):
        HuggingFace(HuggingFaceConfig(family="lama", **sizes))
    with pytest.raises(UsageError, match="transformers refuses this llama"):
        HuggingFace(HuggingFaceConfig(family="llama", settings=settings({"num_attention_heads": 3}), **sizes))


def test_configurations_are_plain_and_hashable_data() -> None:
    assert (
        len({getattr(small, name)(vocab_size=5, seq_len=8, n_blocks=1, d_model=16, n_heads=2) for name in FAMILIES})
        == 5
    )
    assert config("llama") == config("llama") != config("llama", tied=True)


def test_the_weights_of_a_refused_model_are_not_hashed_as_another(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert "no config.json" in refused(tmp_path, by=identity)
