"""Keys of steps with drawn tasks: equal if and only if the configurations are, and the order of entries says nothing."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pcfg_prompts import PRIOR, SETTING, rng

from capbench.configs import GptConfig
from capbench.pipeline.steps import Initialise, Pretrain
from capbench.store.keys import key_of
from capbench.tasks.pcfg.task import PcfgTask
from capbench.variants.strategies import gpt_sizes, pcfg_tasks, train_configs

SEEDS = st.integers(0, 2**32)
FEW = [PcfgTask(setting=SETTING, prior=PRIOR), PcfgTask(setting=SETTING, prior=PRIOR, targets="all")]


@st.composite
def pretrainings(draw: st.DrawFn) -> Pretrain:
    """Any; two of them are not too rarely equal."""
    task = draw(st.sampled_from(FEW) | pcfg_tasks())
    size = draw(gpt_sizes())
    model = GptConfig(vocab_size=task.vocab_size, seq_len=task.seq_len, **size._asdict())
    train = draw(train_configs(max_steps=2, max_batch_size=2))
    return Pretrain(
        start=Initialise(architecture="capbench.models.gpt:Gpt", model=model, seed=draw(st.integers(0, 1))),
        task=task,
        train=train,
    )


def turned(value: Any) -> Any:
    """The same but for the order of its mappings' entries."""
    if isinstance(value, Mapping):
        return dict(reversed([(key, turned(v)) for key, v in value.items()]))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: turned(getattr(value, f.name)) for f in dataclasses.fields(value)})
    return value


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all that is no container: names of fields, keys and places."""
    if dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from leaves(getattr(value, f.name), (*path, f.name))
    elif isinstance(value, Mapping):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, tuple) and value:
        for i, element in enumerate(value):
            yield from leaves(element, (*path, i))
    else:
        yield path


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy that differs in one place, whether or not it is a valid one."""
    if not path:
        if isinstance(value, bool):
            return not value
        if isinstance(value, (int, float)):
            return value + 1
        return value + "x" if isinstance(value, str) else "something"  # in place of None or nothing
    first, *rest = path
    if dataclasses.is_dataclass(value):
        new = copy.copy(value)
        names = {f.name for f in dataclasses.fields(value)}
        for cached in [name for name in vars(new) if name not in names]:
            del new.__dict__[cached]
        object.__setattr__(new, first, changed(getattr(value, first), tuple(rest)))
        return new
    if isinstance(value, Mapping):
        return {key: changed(v, tuple(rest)) if key == first else v for key, v in value.items()}
    return tuple(changed(v, tuple(rest)) if i == first else v for i, v in enumerate(value))


@given(pretrainings(), SEEDS)
@settings(deadline=None, max_examples=50)
def test_the_order_of_entries_changes_neither_key_nor_data(step: Pretrain, seed: int) -> None:
    same = turned(step)
    assert same == step and same.key == step.key
    assert torch.equal(same.task.sample(8, rng(seed)).tokens, step.task.sample(8, rng(seed)).tokens)


@given(pretrainings(), pretrainings())
@settings(deadline=None, max_examples=60)
def test_keys_are_equal_if_and_only_if_configurations_are(one: Pretrain, other: Pretrain) -> None:
    assert (one.key == other.key) == (one == other) == (key_of(one.config) == key_of(other.config))
    assert copy.deepcopy(one).key == one.key


@given(st.data(), pretrainings())
@settings(deadline=None, max_examples=100)
def test_a_change_of_any_one_field_changes_the_key(data: st.DataObject, step: Pretrain) -> None:
    path = data.draw(st.sampled_from(list(leaves(step))))
    other = changed(step, path)
    assert other != step and other.key != step.key, path
