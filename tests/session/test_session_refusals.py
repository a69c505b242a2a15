"""A method that would refuse the base model is told before that model is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from capbench.methods.specs.registry import MethodRef, find
from capbench.pipeline.steps import FineTune, Pretrain, Step
from capbench.session.judging import judge_of
from capbench.session.models import Models
from capbench.session.options.at_once import AtOnce
from capbench.session.studies import Studies
from capbench.studies.judge import Case, Claim
from capbench.studies.registry import BUILT_IN

WORDS = "peft:adapter_config.json: layers_to_transform 9 matched nothing; the model's layers are 0, in 'blocks'"


def adapter(folder: Path, layers: list[int]) -> MethodRef:
    folder.mkdir()
    layered = {"layers_to_transform": layers, "layers_pattern": "blocks"}
    lora = {"peft_type": "LORA", "r": 2, "target_modules": ["qkv"], **layered}
    (folder / "adapter_config.json").write_text(json.dumps(lora))
    return find(f"peft:{folder}")


def needs(study: Any, seed: int, case: Case) -> Mapping[str, Step]:
    tuned = dataclasses.replace(tiny.study(), method=study.method).finetuned(seed, prior="low", c_tr=1, lr="medium")
    return {"base": tuned.base, "tuned": tuned}


CLAIM = Claim(id="a.claim", source="Fig. 0", needs=needs)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    options: Any = SimpleNamespace(
        scale="smoke",
        seeds=2,
        auto=False,
        methods={"fits": adapter(tmp_path / "fits", [0]), "does not": adapter(tmp_path / "odd", [9])},
        task=None,
        cache_shown="--capbench-cache",
        studies=BUILT_IN,
        device="cpu",
        precision="float32",
        attacks="default",
        root=tmp_path / "cache",
        retrain=True,
        quiet=True,
        ray=None,
        at_once=AtOnce(),
    )
    return Models(Studies(options))


def kinds(models: Models, steps: list[Step]) -> set[type]:
    return {type(step) for step in steps if models.store.has(step.key)}


def test_nothing_is_trained_for_a_method_that_refuses_and_its_tests_say_why(models: Models) -> None:
    said: list[str] = []
    models.prepare([(CLAIM, None, "does not")], say=said.append)
    assert said == [] and not list(models.store.root.rglob("*.safetensors"))
    judge = judge_of(models, CLAIM, None, "does not", nodeid="a", timed=lambda run: run())
    assert judge.blocked == WORDS
    assert models.steps([(CLAIM, None, "does not")]) == ([], [WORDS])


def test_the_models_of_other_methods_are_made(models: Models) -> None:
    models.prepare([(CLAIM, None, "does not"), (CLAIM, None, "fits")], say=lambda line: None)
    assert judge_of(models, CLAIM, None, "fits", nodeid="a", timed=lambda run: run()).blocked == ""
    steps, _ = models.steps([(CLAIM, None, "fits")])
    assert kinds(models, steps) == {Pretrain, FineTune} and len(models.errors) == 2  # of two seeds
