"""Names and values in a PEFT config: what matches nothing, or is of a wrong type, is named in one line before anything trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_methods import SHIFT, changed, config, gpt, tracr

from capbench.errors import MethodError
from capbench.methods.peft.adapters import check_config, from_config
from capbench.models.base import Model

BASES = {"gpt": gpt(), "tracr": tracr()}
LORA = {"peft_type": "LORA", "r": 2}
LAYERS = {"layers_to_transform": [1], "layers_pattern": "blocks"}


def refusal(file: Path, content: dict[str, Any], base: Model) -> str:
    """The line by which a config is refused; '' if it is not."""
    file.write_text(json.dumps(content))
    try:
        check_config(file, base)
    except MethodError as error:
        assert "\n" not in str(error) and str(error).startswith("peft:a.json: ") and len(str(error)) < 2000
        return str(error).removeprefix("peft:a.json: ")
    return ""


# Settings beside LORA, the model, and what the line says.
LOST: list[tuple[dict[str, Any], str, str]] = [
    # layers
    (
        {"target_modules": ["qkv"], "layers_to_transform": [1, 99], "layers_pattern": "blocks"},
        "gpt",
        "layers_to_transform 99 matched nothing; the model's layers are 0, 1, in 'blocks'",
    ),
    ({"target_modules": ["key"], **LAYERS, "layers_to_transform": 7}, "tracr", "layers_to_transform 7 matched nothing"),
    (
        {"target_modules": ["key"], **LAYERS, "layers_to_transform": [-1]},
        "tracr",
        "layers_to_transform -1 matched nothing",
    ),
    ({"target_modules": ["key"], **LAYERS, "layers_to_transform": []}, "tracr", "layers_to_transform is empty"),
    (
        {"target_modules": ["qkv"], "layers_to_transform": [1]},
        "gpt",
        "say where the layers are: \"layers_pattern\": 'blocks'",
    ),
    ({"target_modules": ["qkv"], **LAYERS, "layers_pattern": "h"}, "gpt", "layers_pattern 'h' matched nothing"),
    (
        {"target_modules": ["qkv"], **LAYERS, "layers_pattern": ["blocks", "h"]},
        "gpt",
        "layers_pattern 'h' matched nothing; the model's layers are in 'blocks'",
    ),
    ({"target_modules": ["qkv"], "layers_pattern": "blocks"}, "gpt", "`layers_to_transform` must also be specified"),
    (
        {"target_modules": ["qkv", "unembedding"], **LAYERS},
        "gpt",
        "takes no effect on 'unembedding', which is in no layer; take it out",
    ),
    (
        {"target_modules": ["blocks.0.attn.qkv", "mlp_in"], **LAYERS},
        "gpt",
        "takes no effect on 'blocks.0.attn.qkv', which target_modules names in full; take it out",
    ),
    (
        {"peft_type": "LOHA", "target_modules": ".*mlp_in", "layers_to_transform": [1]},
        "gpt",
        "layers_to_transform takes no effect where target_modules is one text",
    ),
    # patterns
    (
        {"target_modules": ["qkv"], "rank_pattern": {"qvk": 1}},
        "gpt",
        "rank_pattern 'qvk' matched nothing that the adapter is on",
    ),
    ({"target_modules": ["qkv"], "alpha_pattern": {"mlp_in": 1}}, "gpt", "alpha_pattern 'mlp_in' matched nothing"),
    (
        {"target_modules": ["qkv"], "rank_pattern": {".*qkv": 1, "qkv": 3}},
        "gpt",
        "rank_pattern 'qkv' takes no effect: keys before",
    ),
    ({"target_modules": ["qkv"], "rank_pattern": {"(": 1}}, "gpt", "rank_pattern '(' is not a regular expression"),
    (
        {"peft_type": "FOURIERFT", "r": None, "target_modules": ["qkv"], "n_frequency_pattern": {"a": 3}},
        "gpt",
        "n_frequency_pattern 'a'",
    ),
    (
        {"peft_type": "C3A", "r": None, "target_modules": ["qkv"], "block_size_pattern": {"a": 4}},
        "gpt",
        "block_size_pattern 'a'",
    ),
    (
        {"peft_type": "OSF", "r": None, "target_modules": ["qkv"], "rank_pattern": {"qvk": 4}},
        "gpt",
        "rank_pattern 'qvk'",
    ),
    ({"peft_type": "DELORA", "target_modules": ["qkv"], "lambda_pattern": {"a": 4}}, "gpt", "lambda_pattern 'a'"),
    # excluded and saved
    ({"target_modules": ["qkv"], "exclude_modules": ["mlp_uot"]}, "gpt", "exclude_modules 'mlp_uot' matched nothing"),
    ({"target_modules": ["qkv"], "exclude_modules": "mlp_.*"}, "gpt", "exclude_modules 'mlp_.*' matched nothing"),
    ({"target_modules": ["qkv"], "exclude_modules": "("}, "gpt", "exclude_modules '(' is not a regular expression"),
    (
        {"target_modules": "all-linear", "exclude_modules": ["unembedding"]},
        "gpt",
        "exclude_modules 'unembedding' matched nothing that target_modules names",
    ),
    ({"target_modules": ["qkv", "out"], "exclude_modules": ["out"]}, "gpt", "target_modules 'out' got no adapter"),
    (
        {"target_modules": ["qkv"], "modules_to_save": ["norm9"]},
        "gpt",
        "modules_to_save 'norm9' matched nothing in the model",
    ),
    ({"target_modules": ["qkv", "out"], "modules_to_save": ["out"]}, "gpt", "target_modules 'out' got no adapter"),
    (
        {"peft_type": "IA3", "r": None, "target_modules": ".*qkv", "feedforward_modules": ".*mlp_in"},
        "gpt",
        "feedforward_modules '.*mlp_in' matched nothing",
    ),
    # parts of LoRA
    (
        {"target_modules": ["qkv"], "use_bdlora": {"target_modules_bd_a": ["mlp"], "match_strict": False}},
        "gpt",
        "use_bdlora.target_modules_bd_a 'mlp' matched nothing",
    ),
    (
        {"target_modules": ["qkv"], "target_parameters": ["a.weight"]},
        "gpt",
        "target_parameters 'a.weight' matched nothing",
    ),
    (
        {"target_modules": ["qkv"], "trainable_token_indices": [1]},
        "gpt",
        'say of which embedding, as in {"token_embedding": [1]}',
    ),
    ({"target_modules": ["qkv"], "trainable_token_indices": {"wte": [1]}}, "gpt", "'wte' matched no embedding"),
    (
        {"target_modules": ["qkv"], "trainable_token_indices": {"token_embedding": [5]}},
        "gpt",
        "5 is no token of 'token_embedding'",
    ),
    ({"target_modules": ["key"], "trainable_token_indices": {"token_embedding": [-1]}}, "tracr", "-1 is no token"),
    ({"target_modules": ["qkv"], "trainable_token_indices": {"token_embedding": []}}, "gpt", "lists no tokens"),
    (
        {"target_modules": ["mlp_in", "unembedding"], "lora_bias": True},
        "gpt",
        "lora_bias needs maps with a bias, which 'unembedding' has not",
    ),
    ({"peft_type": "BEFT", "r": None, "target_modules": ["unembedding"]}, "gpt", "which 'unembedding' has not"),
    ({"target_modules": ["unembedding"], "bias": "lora_only"}, "gpt", "bias 'lora_only' takes no effect"),
]


def content_of(more: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**LORA, **more}.items() if value is not None}


@pytest.mark.parametrize(("more", "base", "words"), LOST, ids=lambda value: value if isinstance(value, str) else "")
def test_what_matches_nothing_is_named(more: dict[str, Any], base: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(tmp_path / "a.json", content_of(more), BASES[base])


def test_all_that_matches_nothing_is_named_in_one_line(tmp_path: Path) -> None:
    patterns = {"rank_pattern": {"qvk": 1}, "alpha_pattern": {"q_proj": 100}, "exclude_modules": ["mlp_uot"]}
    said = refusal(tmp_path / "a.json", {**LORA, "target_modules": ["qkv", "mlp_out"], **patterns}, BASES["gpt"])
    assert [lost for lost in ("'qvk'", "'q_proj'", "'mlp_uot'") if said.count(lost) != 1] == []
    layers = {**LAYERS, "layers_to_transform": [1, 99]}
    said = refusal(tmp_path / "a.json", {**LORA, "target_modules": ["qkv", "unembedding"], **layers}, BASES["gpt"])
    assert "layers_to_transform 99 matched nothing" in said and "'unembedding'" in said


FITTING: list[tuple[dict[str, Any], str]] = [
    ({"target_modules": ["qkv", "mlp_out"], **LAYERS}, "gpt"),
    ({"target_modules": ["key"], "layers_to_transform": 0, "layers_pattern": ["blocks"]}, "tracr"),
    ({"target_modules": ["blocks.1.mlp_in"], **LAYERS}, "gpt"),
    (
        {
            "target_modules": ["qkv", "out"],
            "rank_pattern": {"0.attn.qkv": 1, "qkv": 3},
            "alpha_pattern": {"^blocks.1.*": 2},
        },
        "gpt",
    ),
    ({"target_modules": "all-linear", "exclude_modules": ["attn.out", "blocks.0.mlp_in"]}, "gpt"),
    ({"target_modules": "all-linear", "exclude_modules": r".*\.attn\..*", "modules_to_save": ["norm1"]}, "gpt"),
    (
        {"target_modules": ["mlp_in"], "target_parameters": ["mlp_out.weight"], "rank_pattern": {"mlp_out.weight": 1}},
        "gpt",
    ),
    ({"target_modules": ["mlp_in", "unembedding"], "bias": "lora_only"}, "gpt"),
    ({"target_modules": ["mlp_in"], "lora_bias": True}, "tracr"),
    (
        {
            "target_modules": ["mlp_in"],
            "runtime_config": {"ephemeral_gpu_offload": False},
            "megatron_core": "megatron.core",
        },
        "gpt",
    ),
    ({"target_modules": ["mlp_in"], "eva_config": None, "loftq_config": {}, "alpha_pattern": None}, "gpt"),
    ({"peft_type": "IA3", "r": None, "target_modules": ".*mlp_.*", "feedforward_modules": ".*mlp_in"}, "gpt"),
]


@pytest.mark.parametrize(("more", "base"), FITTING)
def test_what_matches_is_not_refused(more: dict[str, Any], base: str, tmp_path: Path) -> None:
    content = {**LORA, **more}
    if content["r"] is None:
        del content["r"]
    assert refusal(tmp_path / "a.json", content, BASES[base]) == ""


@given(
    layers=st.lists(st.integers(-1, 3), min_size=1, max_size=3, unique=True),
    targets=st.lists(
        st.sampled_from(["key", "mlp_in", "1.query", "blocks.0.value", "norm", "kye"]), min_size=1, unique=True
    ),
)
def test_a_list_of_layers_and_targets_is_used_whole_or_refused(
    layers: list[int], targets: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = BASES["tracr"]
    parts = [name for name, _ in base.named_modules()]
    meant = {
        (layer, target): [n for n in parts if f".{n}".endswith(f".{target}") and n.startswith(f"blocks.{layer}.")]
        for layer in layers
        for target in targets
    }
    whole = all(any(meant[layer, t] for t in targets) for layer in layers)
    whole &= all(any(meant[layer, t] for layer in layers) for t in targets)
    content = {**LORA, "target_modules": targets, **LAYERS, "layers_to_transform": layers}
    said = refusal(tmp_path_factory.getbasetemp() / "a.json", content, base)
    assert (said == "") == whole, said


def test_only_the_layers_named_are_trained(tmp_path: Path) -> None:
    (file := tmp_path / "a.json").write_text(json.dumps({**LORA, "target_modules": ["qkv", "mlp_in"], **LAYERS}))
    tuned = from_config(file)(base := gpt(), SHIFT, config())
    assert changed(base, tuned) == {"blocks.1.attn.qkv.weight", "blocks.1.mlp_in.weight"}


# ---- keys and values

MISTYPED: list[tuple[dict[str, Any], str]] = [
    ({"r": "8"}, "'r' is '8'; it must be a whole number"),
    ({"r": 2.5}, "'r' is 2.5; it must be a whole number"),
    ({"r": None}, "'r' is None; it must be a whole number"),
    ({"r": True}, "'r' is True; it must be a whole number"),
    ({"lora_dropout": "0.1"}, "'lora_dropout' is '0.1'; it must be a number"),
    ({"use_dora": "yes"}, "'use_dora' is 'yes'; it must be true or false"),
    ({"use_rslora": 1}, "'use_rslora' is 1; it must be true or false"),
    ({"bias": "some"}, "'bias' is 'some'; it must be 'none' or 'all' or 'lora_only'"),
    ({"target_modules": [1]}, "'target_modules' is [1]; it must be a list of texts or a text or null"),
    ({"target_modules": {"mlp_in": 1}}, "'target_modules' is {'mlp_in': 1}"),
    ({"modules_to_save": "norm1"}, "'modules_to_save' is 'norm1'; it must be a list of texts"),
    (
        {"layers_to_transform": "1"},
        "'layers_to_transform' is '1'; it must be a list of whole numbers or a whole number",
    ),
    ({"rank_pattern": {"mlp_in": "3"}}, "'rank_pattern' is {'mlp_in': '3'}; it must be an object of numbers"),
    ({"rank_pattern": ["mlp_in"]}, "'rank_pattern' is ['mlp_in']; it must be an object of numbers"),
    ({"init_lora_weights": "xavier"}, "'init_lora_weights' is 'xavier'; it must be true or false or 'gaussian'"),
    ({"velora_config": {"num_group": 4}}, "'velora_config.num_group' is not a key of VeloraConfig; known: num_groups"),
    ({"velora_config": {"num_groups": "4"}}, "'velora_config.num_groups' is '4'; it must be a whole number"),
    ({"peft_type": "LOHA", "init_weights": "gaussian"}, "'init_weights' is 'gaussian'; it must be true or false"),
    ({"peft_type": "LN_TUNING", "r": 1, "target_modules": ["norm1"]}, "'r' is not a key of a config of type LN_TUNING"),
]


@pytest.mark.parametrize(("more", "words"), MISTYPED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_value_of_a_wrong_type_names_its_key(more: dict[str, Any], words: str, tmp_path: Path) -> None:
    said = refusal(tmp_path / "a.json", {**LORA, "target_modules": ["mlp_in"], **more}, BASES["gpt"])
    assert words in said


@pytest.mark.parametrize("version", ["0.99.0", None])
def test_an_unknown_key_names_the_versions_of_peft(version: str | None, tmp_path: Path) -> None:
    content = {**LORA, "target_modules": ["mlp_in"], "peft_version": version, "use_newer": True, "other_newer": False}
    said = refusal(tmp_path / "a.json", content, BASES["gpt"])
    of = f"; the file is of PEFT {version}" if version else ""
    assert said.startswith(
        f"'use_newer' is not a key of a config of type LORA in the installed PEFT {peft.__version__}{of}; known: "
    )


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (file := tmp_path / "a.json").write_text('{"peft_type": "LORA", "target_modules": ["qkv"], "r": 2, "r": 4}')
    with pytest.raises(MethodError, match=r"'r' is there twice"):
        from_config(file)
