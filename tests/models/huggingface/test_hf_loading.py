"""Pretrained models from a folder or a GGUF file that the test writes: the numbers of transformers, and the model's identity."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_models import FAMILIES, SIZES, close, saved, smollm2, strings
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from capbench.models.huggingface.identity import identity
from capbench.models.huggingface.loading import LONGEST, Pretrained, load
from capbench.models.huggingface.model import HuggingFace


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
def test_from_a_folder_and_again_from_configuration_and_weights(family: str, tied: bool, tmp_path: Path) -> None:
    theirs = saved(tmp_path, family, tied=tied)
    model = load(tmp_path)
    assert not model.training and model.config.tied == tied
    sizes = {name: getattr(model.config, name) for name in ("vocab_size", "n_blocks", "d_model")}
    assert sizes == {name: SIZES[name] for name in sizes} and model.config.family == family
    assert model.config.seq_len == (LONGEST if family in ("mamba2", "recurrent_gemma") else SIZES["seq_len"])
    close(model(strings()), theirs(strings(), use_cache=False).logits)
    anew = HuggingFace(model.config).eval()
    anew.load_state_dict(model.state_dict())
    assert torch.equal(anew(strings()), model(strings()))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_from_several_files(family: str, tmp_path: Path) -> None:
    theirs = saved(tmp_path, family, max_shard_size="8KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    close(load(tmp_path)(strings()), theirs(strings(), use_cache=False).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = saved(tmp_path, "gpt2", dtype=dtype)
    model = load(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    close(model(strings()), theirs.float()(strings(), use_cache=False).logits)


def test_what_is_said_before_weights_are_read(tmp_path: Path) -> None:
    saved(tmp_path, "llama", dtype=torch.bfloat16)
    with Pretrained.at(tmp_path, seq_len=5) as found:
        assert found.config.seq_len == 5 and found.n_tokens is None
        n = sum(p.numel() for p in found.load().parameters())
    assert (found.n_weights, found.memory) == (n, 4 * n)


def test_a_model_is_what_its_files_hold_wherever_they_lie(tmp_path: Path) -> None:
    saved(tmp_path / "a")
    first = identity(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "other name")
    assert identity(tmp_path / "b" / "other name") == first and len(first) == 32
    (tmp_path / "a" / "README.md").write_text("more")
    assert identity(tmp_path / "a") == first
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    for name, value, same in (("transformers_version", "4.0.0", True), ("rms_norm_eps", 1e-3, False)):
        (tmp_path / "a" / "config.json").write_text(json.dumps({**config, name: value}))
        assert (identity(tmp_path / "a") == first) == same, name
    weights = tmp_path / "b" / "other name" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identity(tmp_path / "b" / "other name") != first


def test_shards_are_one_model_whatever_the_order_of_their_names(tmp_path: Path) -> None:
    saved(tmp_path, max_shard_size="8KB")
    first = identity(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    named = index.read_text()
    for i, file in enumerate(sorted(tmp_path.glob("model-*.safetensors"), reverse=True)):
        named = named.replace(file.name, f"{i}.safetensors")
        file.rename(tmp_path / f"{i}.safetensors")
    index.write_text(named)
    assert identity(tmp_path) == first


def write_tokenizer(folder: Path, n: int) -> None:
    made = Tokenizer(WordLevel({f"w{i}": i for i in range(n)}, unk_token="w0"))
    made.pre_tokenizer = Whitespace()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def test_the_tokenizer_beside_it(tmp_path: Path) -> None:
    saved(tmp_path)
    write_tokenizer(tmp_path, SIZES["vocab_size"])
    with Pretrained.at(tmp_path) as found:
        assert found.n_tokens == SIZES["vocab_size"]
        assert found.tokenizer()("w3 w1 w7")["input_ids"] == [3, 1, 7]


def write_gguf(file: Path, *, tied: bool, n_tokens: int | None = None) -> dict[str, Any]:
    """A tiny Llama; gives its weights by GGUF's names."""
    import gguf

    d, vocab, rng = 8, 6, torch.Generator().manual_seed(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(10)
    writer.add_embedding_length(d)
    writer.add_block_count(1)
    writer.add_feed_forward_length(12)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_vocab_size(vocab)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(d)
    if n_tokens is not None:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list([f"w{i}" for i in range(n_tokens)])
    shapes = {"token_embd": (vocab, d), "output_norm": (d,), "blk.0.attn_norm": (d,), "blk.0.ffn_norm": (d,)}
    shapes |= {f"blk.0.attn_{name}": (d, d) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (12, d), "blk.0.ffn_up": (12, d), "blk.0.ffn_down": (d, 12)}
    shapes |= {} if tied else {"output": (vocab, d)}
    weights = {name: torch.randn(shape, generator=rng).numpy() for name, shape in shapes.items()}
    for name, weight in weights.items():
        writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.mark.parametrize("tied", [False, True])
def test_from_a_gguf_file(tied: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import gguf

    own = gguf.GGUFReader, gguf.get_tensor_name_map
    weights = write_gguf(tmp_path / "tiny.gguf", tied=tied)
    with Pretrained.at(tmp_path / "tiny.gguf") as found:
        assert found.n_weights == sum(weight.size for weight in weights.values()) and found.n_tokens is None
        model = found.load()
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == own
    assert capsys.readouterr() == ("", "")  # no progress bars
    config = model.config
    assert (config.family, config.n_blocks, config.d_model, config.seq_len) == ("llama", 1, 8, 10)
    assert config.tied == tied == (model.unembedding.weight is model.token_embedding.weight)
    for ours, theirs in (("model.embed_tokens", "token_embd"), ("model.layers.0.mlp.down_proj", "blk.0.ffn_down")):
        assert torch.equal(model.get_submodule(f"hf.{ours}").weight, torch.from_numpy(weights[theirs]))
    anew = HuggingFace(config).eval()
    anew.load_state_dict(model.state_dict())
    tokens = torch.tensor([[0, 1, 2, 3, 4, 5]])
    assert torch.equal(anew(tokens), model(tokens)) and model(tokens).std() > 0.1
    assert not hasattr(model.hf.config, "quantization_config")
    model.hf.save_pretrained(tmp_path / "unpacked")  # it is a model like any other
    assert torch.equal(load(tmp_path / "unpacked")(tokens), anew(tokens))
    shutil.copy(tmp_path / "tiny.gguf", tmp_path / "copy.gguf")
    assert identity(tmp_path / "copy.gguf") == identity(tmp_path / "tiny.gguf")


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    saved(tmp_path)
    state = torch.get_rng_state()
    load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_real_model_answers() -> None:
    with warnings.catch_warnings(), Pretrained.at(smollm2()) as found:
        warnings.simplefilter("ignore")  # of its tokenizer's conversion
        model, tokenizer = found.load(), found.tokenizer()
    assert (model.config.n_blocks, model.config.d_model, model.config.tied) == (30, 576, True)
    read = tokenizer("The capital of France is")["input_ids"]
    with torch.no_grad():
        answer = model.answer_logits(torch.tensor([read]), len(read) - 1).argmax()
    assert tokenizer.decode([int(answer)]) == " Paris"
