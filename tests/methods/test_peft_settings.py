"""Every setting of every adapter that PEFT knows: it changes the tuned weights, or it is refused by name.

A new version of PEFT with settings that these tables lack fails here: someone has to look what they do.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft_tables import CHANGES, COMMON, ONE_VALUE, REFUSED, SAYING, SMALLEST, UNSUPPORTED, Settings
from tiny_methods import SHIFT, VOCAB, changed, config
from torch import Tensor, nn

from capbench.errors import MethodError
from capbench.methods.peft.adapters import check_config, from_config
from capbench.models.base import Model


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)


class Maps(Model):
    """As few parts as settings can speak of: an embedding, two numbered blocks of two maps and a norm, a map without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, 8)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.unembedding = nn.Linear(8, VOCAB, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        self._passing(tokens)
        x = self.embedding(tokens).cumsum(1)
        for block in self.blocks:
            x = x + block.down(torch.relu(block.up(block.norm(x))))  # type: ignore[operator]
        logits: Tensor = self.unembedding(x)
        return logits


@functools.cache
def maps() -> Maps:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Maps().eval()


@functools.cache
def tuned(given: str, folder: Path) -> Model | str:
    """What training with a config gives: the model, or the words of the refusal."""
    file = folder / "a.json"
    file.write_text(given)
    try:
        return from_config(file)(maps(), SHIFT, config(steps=1, lr=3e-2))
    except MethodError as error:
        return str(error)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


def with_defaults(kind: str, more: Settings) -> str:
    return json.dumps({"peft_type": kind, "target_modules": ["up"], **SMALLEST[kind], **more})


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALLEST)
def test_every_setting_changes_what_is_trained_or_is_refused(kind: str, folder: Path) -> None:
    plain = tuned(with_defaults(kind, {}), folder)
    assert isinstance(plain, Model), plain
    assert changed(maps(), plain)
    wrong = []
    for more in CHANGES.get(kind, []):
        for name in more:  # each of them matters where the others stand
            left = tuned(with_defaults(kind, {k: v for k, v in more.items() if k != name}), folder)
            right = tuned(with_defaults(kind, more), folder)
            if isinstance(right, str) or (isinstance(left, Model) and not changed(left, right)):
                wrong.append(f"{name} in {more}: {right if isinstance(right, str) else 'no effect'}")
    for more, words in REFUSED.get(kind, []):
        found = tuned(with_defaults(kind, more), folder)
        named = [name for name in more if isinstance(found, str) and name in found]
        if not isinstance(found, str) or words not in found or not named or "\n" in found:
            wrong.append(f"{more}: {found if isinstance(found, str) else 'not refused'}")
    assert wrong == []


@pytest.mark.parametrize("name", COMMON)
def test_settings_that_kinds_share_take_effect(name: str, folder: Path) -> None:
    more = (
        {"layers_to_transform": [1], "layers_pattern": ["blocks"]}
        if name.startswith("layers")
        else {name: COMMON[name]}
    )
    for kind in ("LORA", "LOHA"):
        if name == "bias" and kind == "LOHA":
            continue
        right = tuned(with_defaults(kind, more), folder)
        assert isinstance(right, Model), right
        assert changed(tuned(with_defaults(kind, {}), folder), right)  # type: ignore[arg-type]


def test_the_tables_know_every_kind_and_setting_of_the_installed_peft() -> None:
    unknown = []
    for kind, config_class in ((str(k.value), c) for k, c in PEFT_TYPE_TO_CONFIG_MAPPING.items()):
        if kind in UNSUPPORTED or kind == "ADAMSS":  # which needs scikit-learn
            continue
        known = {*COMMON, *SAYING, *ONE_VALUE, "fan_in_fan_out"}
        known |= {name for more in CHANGES.get(kind, []) for name in more}
        known |= {name for more, _ in REFUSED.get(kind, []) for name in more}
        unknown += [f"{kind}.{f.name}" for f in dataclasses.fields(config_class) if f.init and f.name not in known]
    assert unknown == []


@pytest.mark.parametrize("kind", SMALLEST)
def test_a_file_that_peft_wrote_is_accepted(kind: str, tmp_path: Path) -> None:
    config_class = {str(k.value): c for k, c in PEFT_TYPE_TO_CONFIG_MAPPING.items()}[kind]
    settings = json.loads(with_defaults(kind, {}))
    del settings["peft_type"]
    config_class(**settings, inference_mode=True, task_type="CAUSAL_LM").save_pretrained(str(tmp_path))
    check_config(tmp_path, maps())
    (tmp_path / "adapter_config.json").write_text(with_defaults(kind, {}))
    check_config(tmp_path, maps())
