"""The store: saving, loading and looking at artefacts of a small model."""

from __future__ import annotations

import itertools

import pytest
import torch
from speed.rounds import OWN, compared, scaled
from speed.rows import keep, row

from capbench.models.gpt import Gpt
from capbench.store.keys import key_of
from capbench.store.store import Store
from capbench.studies.pcfg.preset import small

MANY = 20


@pytest.fixture
def tensors():
    preset = small()
    return Gpt.initialised(preset.model(preset.setting), torch.Generator().manual_seed(0)).state_dict()


@pytest.fixture
def store(tmp_path, tensors):
    found = Store(tmp_path)
    for i in range(MANY):
        found.save(key_of({"n": i}), kind="Benchmark", config={"n": i}, tensors=tensors, meta={})
    return found


@pytest.mark.parametrize("what", ["has", "meta", "intact", "load"])
def test_reading(benchmark, store, what):
    keys = [key_of({"n": i}) for i in range(MANY)]
    found = compared(benchmark, lambda: [getattr(store, what)(key) for key in keys], {}, rounds=9)
    keep(benchmark, row("store", f"{what} of a small model", scaled(found[OWN], 1000 / MANY), "ms"))


def test_saving(benchmark, store, tensors):
    numbers = itertools.count(MANY)

    def save():
        for i in itertools.islice(numbers, MANY):
            store.save(key_of({"n": i}), kind="Benchmark", config={"n": i}, tensors=tensors, meta={})

    found = compared(benchmark, save, {}, rounds=5)
    keep(benchmark, row("store", "save of a small model", scaled(found[OWN], 1000 / MANY), "ms"))
