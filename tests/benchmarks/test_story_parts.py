"""Exchanging parts of two models: every weight is in a part, and what is exchanged is exactly that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny_stories import study

from capbench.models.base import Model
from capbench.store.store import Store

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script that is run there

import story_parts


@pytest.fixture(scope="module")
def pair() -> tuple[Model, Model]:
    from capbench.models.gpt import Gpt

    config = study().initialised(0).model
    one, two = (Gpt.initialised(config, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    return one.eval(), two.eval()


def test_parts_are_all_of_the_model_but_the_last_norm(pair: tuple[Model, Model]) -> None:
    found = dict(story_parts.parts(pair[0]))
    assert {name for names in found.values() for name in names} == {
        name for name in pair[0].state_dict() if not name.startswith("norm.")
    }
    halves = {*found["block 1, attention"], *found["block 1, MLP"]}
    assert halves < set(found["block 1"]) and all(".norm" in name for name in set(found["block 1"]) - halves)
    assert found["all blocks"] == found["block 1"]  # it has one


def test_only_what_is_named_is_exchanged(pair: tuple[Model, Model]) -> None:
    into, of = pair
    names = dict(story_parts.parts(into))["unembedding"]
    mixed = story_parts.exchanged(into, of, names).state_dict()
    for name, weight in mixed.items():
        assert torch.equal(weight, (of if name in names else into).state_dict()[name]), name
    tokens = torch.arange(8)[None]
    assert torch.equal(story_parts.exchanged(into, of, list(mixed))(tokens), of(tokens))


def test_the_tables_name_every_part_and_direction(tmp_path: Path) -> None:
    told = story_parts.shown(study(), Store(tmp_path), "randomisation", 0)
    assert "| block 1, MLP |" in told and "| pretrained, into that after the deletion |" in told
