"""Steps: keys that say what a result depends on, and digests that see code and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import BASE, MODEL, PRIOR, SETTING, START, revived, tuned
from tiny_tracr import COUNT_A, COUNT_B

from capbench.configs import TrainConfig
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import Perturb, Step
from capbench.store.code import training_code
from capbench.store.syntax import source_digest
from capbench.studies.tracr.study import PROGRAMS
from capbench.tasks.pcfg.finetuning import finetuning, pretraining

CHOICES: dict[str, list[Any]] = {
    "steps": [1, 2],
    "batch_size": [1, 2],
    "lr": [0.1, 0.2],
    "seed": [0, 1],
    "optimizer": ["adamw", "sgd"],
    "warmup": [0.0, 0.2],
    "final_lr": [0.01, 1.0],
    "betas": [(0.9, 0.95), (0.9, 0.99)],
    "momentum": [0.0, 0.9],
    "weight_decay": [0.0, 0.1],
    "grad_clip": [1.0, 2.0],
    "device": ["cpu", "cuda"],
    "precision": ["float32", "bfloat16"],
}
trainings = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()})
some_changes = st.dictionaries(st.sampled_from(sorted(CHOICES)), st.integers(0, 1), max_size=2)


def test_the_choices_cover_all_fields_of_a_training() -> None:
    assert {field.name for field in fields(TrainConfig)} == set(CHOICES)


@given(trainings, some_changes)
def test_keys_are_equal_if_and_only_if_trainings_are(one: dict[str, Any], changes: dict[str, int]) -> None:
    other = {**one, **{name: CHOICES[name][i] for name, i in changes.items()}}
    left, right = (replace(BASE, train=TrainConfig(**c)) for c in (one, other))
    assert (left.key == right.key) == (one == other)
    assert (tuned(MethodRef(spec="m", digest="0"), left).key == revived(right).key) is False
    assert (revived(left).key == revived(right).key) == (one == other)  # a child knows its parents


def variants() -> Iterator[Step]:
    method = MethodRef(spec="m", digest="0")
    yield from (START, replace(START, seed=1), replace(START, model=replace(MODEL, activation="relu")))
    yield from (BASE, replace(BASE, watch=()), replace(BASE, task=pretraining(SETTING, {"a": 0.5, "b": 0.5})))
    yield replace(BASE, task=pretraining(replace(SETTING, numbers={"C": 3, "I": 1}), PRIOR))
    yield from (
        tuned(method),
        tuned(replace(method, digest="1")),
        tuned(replace(method, spec="n")),
        tuned(method, START),
    )
    yield replace(
        tuned(method), task=finetuning(pretraining(SETTING, PRIOR), family="C", o_pt="a", o_ft="b", q=1, c_tr=0.5)
    )
    yield from (revived(BASE), revived(BASE, goal=0.5), revived(START), replace(revived(BASE), watch_every=3))

    noisy = Perturb(start=COUNT_A, scale=1e-3, seed=0)
    yield from (COUNT_A, COUNT_B, replace(COUNT_A, vocabulary=("a", "b")), replace(COUNT_A, max_seq_len=5))
    yield from (replace(COUNT_A, program=f"{PROGRAMS}:kth_largest"), replace(COUNT_A, arguments=()))
    yield from (replace(COUNT_A, bos="^"), replace(COUNT_A, pad="^"))
    yield from (noisy, replace(noisy, scale=1e-4), replace(noisy, seed=1), replace(noisy, start=COUNT_B))
    yield from (tuned(method, noisy), revived(noisy))


def test_whatever_a_step_depends_on_is_in_its_key() -> None:
    keys = [step.key for step in variants()]
    assert len(set(keys)) == len(keys) and keys == [step.key for step in variants()]


CODE = 'def f(x):\n    """What f does."""\n    return x + 1\n'


@pytest.mark.parametrize(
    "other, equal",
    [
        (CODE.replace("return", "# why\n    return"), True),
        (CODE.replace("What f does", "Says it better"), True),
        ('"""A module."""\n\n\n' + CODE.replace("x + 1", "(x\n        + 1)"), True),
        (CODE.replace('    """What f does."""\n', ""), True),
        (CODE.replace("x + 1", "x + 2"), False),
        (CODE.replace("x + 1", "x - 1"), False),
        (CODE.replace("(x)", "(x=0)"), False),
        (CODE + "f = None\n", False),
        (CODE.replace("x + 1", '"""What f does."""'), False),
    ],
)
def test_a_digest_sees_code_and_neither_comments_nor_layout(other: str, equal: bool) -> None:
    assert (source_digest(other) == source_digest(CODE)) is equal


def test_a_key_holds_the_version_of_the_code() -> None:
    versions = {START: {"capbench.models.gpt", "capbench.configs"}, COUNT_A: {"capbench.models.tracr", PROGRAMS}}
    for step, modules in versions.items():
        version = training_code(frozenset(modules))
        assert step.config["code"] == version and len(version) == 16 and set(version) <= set("0123456789abcdef")
