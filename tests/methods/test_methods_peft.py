"""Adapters: what each does to the weights, that merging changes nothing, and that they train on both architectures."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_methods import SHIFT, changed, config, gpt, tracr
from torch import Tensor, nn

from capbench.errors import MethodError
from capbench.methods.finetuning.dora import dora
from capbench.methods.finetuning.ia3 import ia3
from capbench.methods.finetuning.lora import lora
from capbench.methods.peft.adapters import from_config
from capbench.models.base import Model
from capbench.models.tracr.transformer import TracrTransformer
from capbench.pipeline.budget import counting
from capbench.training.loop import fit, next_token_loss, observing

BATCH = SHIFT.sample(64, torch.Generator().manual_seed(9))
METHODS: dict[str, Callable[..., Model]] = {"lora": lora, "dora": dora, "ia3": functools.partial(ia3, lr_factor=5)}
STARTS = pytest.mark.parametrize("start", [gpt, tracr])


class Last:
    """An observer that keeps what the adapted model was and said after the last step."""

    def __call__(self, step: int, model: Model) -> bool:
        with torch.no_grad():
            self.logits = model(BATCH.tokens)
        self.parameters = {n.replace("inner.", ""): p.detach().clone() for n, p in model.named_parameters()}
        return False

    def of(self, part: str) -> dict[str, Tensor]:
        """Trained tensors of one kind, as `lora_A`, by the map that they are on."""
        found = {name.split(f".{part}.")[0]: p for name, p in self.parameters.items() if f".{part}." in name}
        assert found, f"no {part} among {list(self.parameters)}"
        return found


def run(method: Any, base: Model, **changes: Any) -> tuple[Any, Last]:
    with observing(last := Last()):
        tuned = method(base, SHIFT, config(**{"steps": 10, "lr": 2e-2, **changes}))
    return tuned, last


@STARTS
@pytest.mark.parametrize("name", METHODS)
def test_the_fast_answers_of_the_adapted_model_are_those_of_its_plain_pass(name: str, start: Any) -> None:
    """And so are the gradients by which adapters train: compiled models have a way to the answer that passes layers by."""

    class Both:
        def __call__(self, step: int, model: Any) -> bool:
            trained = [p for p in model.parameters() if p.requires_grad]
            self.found = []
            for answer in (model.answer_logits, functools.partial(Model.answer_logits, model)):
                logits = answer(BATCH.tokens, 2)
                loss = nn.functional.cross_entropy(logits, BATCH.targets[:, 2])
                self.found.append([logits.detach(), *torch.autograd.grad(loss, trained)])
            return False

    with observing(both := Both()):
        METHODS[name](start(), SHIFT, config(steps=3, lr=2e-2))
    assert len(both.found[0]) > 1
    for fast, plain in zip(*both.found, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-3)


def linears(model: Any) -> dict[str, nn.Linear]:
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}


def weight(model: Any, name: str) -> Tensor:
    return model.get_submodule(name).weight.detach()


# ---- on both architectures


@STARTS
@pytest.mark.parametrize("name", METHODS)
def test_the_merged_model_is_the_adapted_one(name: str, start: Any) -> None:
    base = start()
    tuned, last = run(METHODS[name], base)
    torch.testing.assert_close(tuned(BATCH.tokens).detach(), last.logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(last.logits, base(BATCH.tokens).detach(), atol=1e-2)


@pytest.mark.parametrize("name", METHODS)
def test_adapters_learn_on_a_compiled_model(name: str) -> None:
    base = tracr()
    fit(base, SHIFT.retain, config(steps=40, batch_size=32))
    tuned, _ = run(METHODS[name], base, steps=20, batch_size=32, lr=3e-2)
    before, after = (float(next_token_loss(model, BATCH, SHIFT).detach()) for model in (base, tuned))
    assert after < 0.9 * before


def test_a_compiled_model_is_again_as_fast_as_before() -> None:
    """Its own way to the answer, which reads weights past adapters, was out of use for the training alone."""
    tuned, _ = run(lora, tracr(), steps=1)
    assert type(tuned) is TracrTransformer and "answer_logits" not in vars(tuned)


def test_no_peft_library_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    for name, method in METHODS.items():
        with pytest.raises(MethodError) as error:
            method(gpt(), SHIFT, config())
        assert str(error.value) == f"{name} needs the PEFT library: pip install 'capbench[peft]'"
    with pytest.raises(MethodError, match=r"^peft:a\.json needs the PEFT library: pip install 'capbench\[peft\]'$"):
        from_config(written(tmp_path, peft_type="LORA"))


# ---- LoRA and DoRA


@STARTS
def test_lora_adds_a_map_of_its_rank_to_every_linear_map_of_the_blocks(start: Any) -> None:
    base = start()
    tuned, last = run(functools.partial(lora, rank=2, alpha=6), base)
    assert changed(base, tuned) == {f"{name}.weight" for name in linears(base) if name.startswith("blocks.")}
    down, up = last.of("lora_A"), last.of("lora_B")
    for name in base.neurons():
        delta = weight(tuned, name) - weight(base, name)
        torch.testing.assert_close(delta, 6 / 2 * up[name] @ down[name], atol=1e-5, rtol=1e-4)
        values = torch.linalg.svdvals(delta.double())
        assert values[1] > 1e-4 > 1e-5 > values[2], f"{name}: {values}"


@settings(max_examples=6, deadline=None)
@given(rank=st.integers(1, 20))
def test_lora_changes_no_map_by_more_than_its_rank(rank: int) -> None:
    base = tracr()
    tuned, _ = run(functools.partial(lora, rank=rank), base, steps=3, lr=1e-1)
    for name in base.neurons():
        values = torch.linalg.svdvals((weight(tuned, name) - weight(base, name)).double())
        assert not (values[rank:] > 1e-5).any()


def test_dropout_is_drawn_from_the_seed() -> None:
    base, method = gpt(), functools.partial(lora, dropout=0.5)
    once = method(base, SHIFT, config())
    torch.rand(1)
    assert not changed(once, method(base, SHIFT, config()))
    assert changed(once, lora(base, SHIFT, config()))


@STARTS
def test_dora_is_a_trained_length_times_the_direction_that_lora_gives(start: Any) -> None:
    base = start()
    tuned, last = run(functools.partial(dora, rank=2, alpha=2), base)
    down, up, lengths = last.of("lora_A"), last.of("lora_B"), last.of("lora_magnitude_vector")
    for name in base.neurons():
        rows = weight(base, name) + up[name] @ down[name]
        expected = lengths[name][:, None] * rows / rows.norm(dim=1, keepdim=True)
        torch.testing.assert_close(weight(tuned, name), expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(lengths[name], weight(base, name).norm(dim=1), atol=1e-3)  # it trains


def test_dora_of_no_steps_is_the_model_itself() -> None:
    base = gpt()
    tuned = dora(base, SHIFT, config(steps=0))
    for name in linears(base):
        torch.testing.assert_close(weight(tuned, name), weight(base, name))


def test_dora_refuses_a_row_without_direction() -> None:
    base = tracr()
    with torch.no_grad():
        base.blocks[1].key.weight[2] = 0  # type: ignore[union-attr]
    with pytest.raises(MethodError, match=r"^dora: DoRA divides by .* 'blocks\.1\.key' has a row of zeros; use lora$"):
        dora(base, SHIFT, config())


# ---- (IA)^3


def factors(after: Tensor, before: Tensor, dim: int) -> Tensor:
    """By how much each row (dim 0) or column (dim 1) was multiplied; fails if it was not."""
    ratio = after / before
    mean = ratio.mean(1 - dim, keepdim=True)
    torch.testing.assert_close(ratio, mean.expand_as(ratio), atol=1e-3, rtol=1e-3)
    return mean.flatten()


def test_ia3_rescales_keys_values_and_units_of_a_compiled_model() -> None:
    base = tracr()
    tuned, last = run(METHODS["ia3"], base)
    scales = last.of("ia3_l")
    for i in (0, 1):
        for part, dim in (("key", 0), ("value", 0), ("mlp_out", 1)):
            name = f"blocks.{i}.{part}"
            found = factors(weight(tuned, name), weight(base, name), dim)
            torch.testing.assert_close(found, scales[name].flatten(), atol=1e-3, rtol=1e-3)
        for part in ("key", "value"):
            bias = getattr(tuned.blocks[i], part).bias / getattr(base.blocks[i], part).bias  # type: ignore[index]
            torch.testing.assert_close(bias.detach(), scales[f"blocks.{i}.{part}"].flatten(), atol=1e-3, rtol=1e-3)
        assert all(float((s - 1).abs().max()) > 1e-2 for s in scales.values())
    ends = ("key.weight", "key.bias", "value.weight", "value.bias", "mlp_out.weight")
    assert changed(base, tuned) == {f"blocks.{i}.{end}" for i in (0, 1) for end in ends}


def test_ia3_leaves_the_queries_of_a_fused_map() -> None:
    base = gpt()
    tuned, _ = run(METHODS["ia3"], base)
    for i in (0, 1):
        found = factors(weight(tuned, f"blocks.{i}.attn.qkv"), weight(base, f"blocks.{i}.attn.qkv"), 0)
        moved = (found - 1).abs()
        assert (moved[:16] < 1e-6).all() and moved[16:32].max() > 1e-3 < moved[32:].max()
    ends = ("attn.qkv.weight", "attn.qkv.bias", "mlp_out.weight")
    assert changed(base, tuned) == {f"blocks.{i}.{end}" for i in (0, 1) for end in ends}


def test_weight_decay_does_not_pull_the_factors_of_ia3_to_zero() -> None:
    base = gpt()
    assert not changed(ia3(base, SHIFT, config(weight_decay=0.0)), ia3(base, SHIFT, config(weight_decay=0.9)))


# ---- a config of the PEFT library


def written(folder: Path, **content: Any) -> Path:
    file = folder / "a.json"
    file.write_text(json.dumps(content))
    return file


def test_a_config_does_what_the_method_of_that_name_does(tmp_path: Path) -> None:
    """As PEFT saves it: of a trained adapter, for some large model."""
    import peft

    saved = peft.LoraConfig(r=3, lora_alpha=5, target_modules="all-linear", task_type="CAUSAL_LM", inference_mode=True)
    saved.base_model_name_or_path = "some/model"
    saved.save_pretrained(str(tmp_path))
    for given_as in (tmp_path, tmp_path / "adapter_config.json"):
        tuned = from_config(given_as)(base := gpt(), SHIFT, config())
        assert not changed(tuned, lora(base, SHIFT, config(), rank=3, alpha=5))


OTHERS: list[dict[str, Any]] = [
    {"peft_type": "LORA", "target_modules": ["mlp_in"], "modules_to_save": ["mlp_out"]},
    {"peft_type": "LORA", "target_modules": ".*key|.*qkv", "bias": "all", "use_rslora": True},
    {"peft_type": "LOHA", "target_modules": ["mlp_in", "mlp_out"]},
    {"peft_type": "OFT", "target_modules": ["mlp_in"], "oft_block_size": 2, "some_newer_key": None},
    {"peft_type": "VERA", "target_modules": ["mlp_in"], "r": 16},
    {"peft_type": "IA3", "target_modules": ["mlp_in", "mlp_out"], "feedforward_modules": ["mlp_out"]},
]


@STARTS
@pytest.mark.parametrize("content", OTHERS, ids=lambda content: content["peft_type"])
def test_other_adapters_train_and_merge(tmp_path: Path, content: dict[str, Any], start: Any) -> None:
    base = start()
    with counting() as budget:
        tuned, last = run(from_config(written(tmp_path, **content)), base, steps=5)
    assert (budget.steps, budget.tokens) == (5, 5 * 8 * 3)
    assert type(tuned) is type(base) and tuned.state_dict().keys() == base.state_dict().keys()
    assert all(p.requires_grad for p in tuned.parameters())
    torch.testing.assert_close(tuned(BATCH.tokens).detach(), last.logits, atol=1e-4, rtol=1e-4)
    moved = changed(base, tuned)
    kept = content.get("modules_to_save", [])
    assert moved and all(any(f"{part}.weight" in name for name in moved) for part in kept)


def test_norms_can_be_adapted(tmp_path: Path) -> None:
    base = gpt()
    with pytest.warns(UserWarning, match="LayerNorm"):  # PEFT does not know every norm: said, but no error
        tuned = from_config(written(tmp_path, peft_type="LN_TUNING", target_modules=["norm1"]))(base, SHIFT, config())
    assert changed(base, tuned) == {f"blocks.{i}.norm1.{end}" for i in (0, 1) for end in ("weight", "bias")}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, ["PROMPT_TUNING cannot be merged into"]),
    ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}, ["PREFIX_TUNING cannot be merged into"]),
    ({"peft_type": "LILY", "target_modules": ["mlp_in"]}, ["LILY cannot be merged into"]),
    ({"peft_type": "ADALORA"}, ["ADALORA is not supported", "its own training loop"]),
    ({"peft_type": "LORRA"}, ["peft_type 'LORRA' is unknown to PEFT"]),
    ({"r": 8}, ["peft_type None"]),
    ({"peft_type": "LORA", "rank": 8}, ["'rank' is not a key of a config of type LORA", "lora_alpha"]),
    ({"peft_type": "LORA", "r": 0, "target_modules": ["mlp_in"]}, ["PEFT", "0"]),
    ({"peft_type": "LORA"}, ["target_modules is missing", "blocks.0.attn.qkv, blocks.0.attn.out", "unembedding"]),
    (
        {"peft_type": "LORA", "target_modules": ["q_proj", "mlp_in", "v_proj"]},
        ["target_modules 'q_proj', 'v_proj' are not in the model", "its linear maps are blocks.0.attn.qkv"],
    ),
    ({"peft_type": "LORA", "target_modules": "q_.*"}, ["target_modules 'q_.*' are not in the model"]),
    ({"peft_type": "LORA", "target_modules": "(mlp"}, ["target_modules '(mlp' are not in the model"]),
    ({"peft_type": "LORA", "target_modules": ["attn"]}, ["PEFT cannot add this adapter to the model", "Attention"]),
    ({"peft_type": "LORA", "target_modules": ["position_embedding"]}, ["'position_embedding", "does not affect"]),
    ({"peft_type": "IA3", "target_modules": ["mlp_in"]}, ["feedforward_modules is missing"]),
]


@pytest.mark.parametrize(("content", "parts"), REFUSED, ids=[parts[0] for _, parts in REFUSED])
def test_a_config_that_cannot_work_is_refused_in_one_line(
    tmp_path: Path, content: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(MethodError) as error:
        from_config(written(tmp_path, **content))(gpt(), SHIFT, config(steps=1))
    message = str(error.value)
    assert message.startswith("peft:a.json") and "\n" not in message and len(message) < 2000
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("content", ["", "{", "[]", "5", "\x00"])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(
        MethodError, match=r"^peft:a\.json: ('.*a\.json' (cannot be read as JSON: |is not UTF-8 text)|peft_type None)"
    ):
        from_config(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"gone\.json' cannot be read"):
        from_config(tmp_path / "gone.json")
