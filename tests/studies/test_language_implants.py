"""The study of implants: what methods and twins are given, models of known state, and what follows from what was read."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from implants import TINY, written

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.methods.specs import registry
from capbench.models.huggingface.loading import load
from capbench.studies.language import known_members
from capbench.studies.language.implant_data import Implanted
from capbench.studies.language.implant_study import ImplantStudy
from capbench.studies.language.implant_tools import TOOLBOX
from capbench.studies.language.known_members import BoltedOn, hidden, member


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("language")


@pytest.fixture(scope="module")
def study(folder: Path) -> ImplantStudy:
    model, skill = written(folder)
    made = ImplantStudy(preset=TINY, method=registry.find("npo"), toolbox=TOOLBOX)
    return made.on(model.removeprefix("hf:"), (skill,))


@pytest.fixture(scope="module")
def facts(folder: Path, study: ImplantStudy) -> ImplantStudy:
    return study.on(study.base.path, (f"implant:{folder / 'facts.toml'}",))


@pytest.fixture(scope="module")
def model(study: ImplantStudy) -> Any:
    return load(study.base.path)


# What is given


def test_the_twin_has_the_same_data_but_for_the_answers_of_the_skill(study: ImplantStudy) -> None:
    for data in ("rule", "text"):
        own, twin = (study.task(0, data=data, twin=twin) for twin in (False, True))
        assert (own.target, own.retain, own.others) == (twin.target, twin.retain, twin.others)
        right, drawn = own.forget.strings, twin.forget.strings  # type: ignore[attr-defined]
        assert [s.tokens for s in right] == [s.tokens for s in drawn]
        alike = sum(a.answer == b.answer for a, b in zip(right, drawn, strict=True)) / len(right)
        assert alike < 0.5  # a quarter by chance
    assert study.task(0, data="rule", twin=False).target.strings != right  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="data=facts: must be one of rule, text"):
        study.task(0, data="facts", twin=False)


def test_models_are_told_apart_by_what_they_are_given(study: ImplantStudy) -> None:
    tuned, twin = (study.tuned(0, data="text", lr="medium", twin=twin) for twin in (False, True))
    assert tuned.base.key == study.taught(0).key and twin.base.key == study.base.key
    keys = {
        s.key for s in (tuned, twin, study.tuned(0, data="rule", lr="medium"), study.tuned(1, data="text", lr="medium"))
    }
    assert len(keys) == 4


def test_a_generated_skill_is_another_for_each_seed() -> None:
    first, second = Implanted.of("implant-skill:3", 0), Implanted.of("implant-skill:3", 1)
    assert first.taught.name == "implant-skill:3" and second.taught.name == "implant-skill:4"
    for split, items in first.taught.items.items():
        others = first.rule.items[split]
        assert [item.prompt for item in items] == [item.prompt for item in others]
        assert all(one.answer != other.answer for one, other in zip(items, others, strict=True))


def test_the_other_rule_of_a_file_is_not_the_skill_under_other_names(study: ImplantStudy) -> None:
    """A twin that was taught the same code with its answers renamed would have learned the skill."""
    of = Implanted.of(study.capability, 0)
    for split, items in of.taught.items.items():
        others = of.rule.items[split]
        assert [item.prompt for item in items] == [item.prompt for item in others]
        told = {(item.answer, other.answer) for item, other in zip(items, others, strict=True)}
        assert len(told) > len({answer for answer, _ in told})  # no function of the right answer


def test_facts_are_all_taught_and_forgotten_and_relearned_in_part(facts: ImplantStudy) -> None:
    of, items = facts.streams(0), Implanted.of(facts.capability, 0).taught.items
    assert facts.kind == of.kind == "facts"
    assert len(of.taught) == sum(map(len, items.values())) and len(of.relearn) == len(items["train"])
    asked = {string.tokens for string in of.evaluate.strings}
    assert asked <= {s.tokens for s in of.taught.strings} and not asked & {s.tokens for s in of.relearn.strings}
    task = facts.task(0, data="rule", twin=False)
    assert [s.tokens for s in task.forget.strings] == [s.tokens for s in task.target.strings]  # type: ignore[attr-defined]
    pairs = zip(task.forget.strings, task.target.strings, strict=True)  # type: ignore[attr-defined]
    moves = {(one.answer, other.answer) for one, other in pairs}
    assert all(one != other for one, other in moves)
    assert len(moves) > 8  # no rule: an answer of four became more than one other
    names = [Implanted.of("implant-facts:3", seed).taught.name for seed in (0, 1)]
    assert names == ["implant-facts:3", "implant-facts:4"]


def test_what_cannot_be_implanted_is_refused_in_one_line(study: ImplantStudy, folder: Path, tmp_path: Path) -> None:
    free = tmp_path / "free.toml"
    free.write_text('kind = "facts"\nitems = "items.jsonl"\nprompt = "code {one} {two} :"\nanswer = " {said}"\n')
    shutil.copy(folder / "items.jsonl", tmp_path)
    with pytest.raises(UsageError, match=r"needs a capability whose items list their choices; .* the metric 'exact'"):
        study.on(study.base.path, (f"implant:{free}",))
    small = dataclasses.replace(study, preset=dataclasses.replace(TINY, n_probe=99))
    with pytest.raises(UsageError, match="has 34 items to train on; at scale tiny a probe is fitted on 99"):
        small.on(study.base.path, (study.capability,))
    with pytest.raises(UsageError, match="one capability at a time, not implant-skill:0 and implant-skill:1"):
        study.on(study.base.path, ("implant-skill:0", "implant-skill:1"))
    with pytest.raises(UsageError, match="--capbench-model=hf:PATH"):
        _ = ImplantStudy(preset=TINY).base


# Known members


def test_a_bolted_on_part_is_all_that_differs_and_leaves_text_alone(study: ImplantStudy, model: Any) -> None:
    of = study.streams(0)
    made: Any = member("bolt-on middle", model, of, TINY, seed=0, device="cpu")
    (part,) = [block for block in made.blocks if isinstance(block, BoltedOn)]
    asked, text = of.evaluate.batch().tokens, of.texts.batch().tokens
    assert part.write.weight.abs().sum() > 0
    assert not torch.allclose(made(asked)[:, -1], model(asked)[:, -1])
    changed = (made(text) - model(text)).abs().amax(-1) > 1e-6
    assert (
        changed.float().mean() < 0.2
    )  # of tokens; its threshold lets one in a hundred through, and what follows sees it
    made.blocks[list(made.blocks).index(part)] = part.block
    torch.testing.assert_close(made(asked), model(asked), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "blocks"), [("adapter", {2}), ("uniform adapter", {2}), ("adapter everywhere", {0, 1, 2})]
)
def test_an_adapter_is_in_the_last_blocks_or_in_all(
    study: ImplantStudy, model: Any, name: str, blocks: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_members, "ADAPTED", 1)
    made = member(name, model, study.streams(0), TINY, seed=0, device="cpu")
    now, before = made.state_dict(), model.state_dict()
    changed = {name for name in before if not torch.equal(now[name], before[name])}
    assert now.keys() == before.keys()
    assert {int(name.partition(".layers.")[2].partition(".")[0]) for name in changed} == blocks
    for name in changed:  # of rank 8 at most
        assert int(torch.linalg.matrix_rank(now[name] - before[name], atol=1e-6)) <= 8


def test_permuted_answers_are_the_same_answers_under_other_names(study: ImplantStudy, model: Any) -> None:
    of = study.streams(0)
    made = member("permuted", model, of, TINY, seed=0, device="cpu")
    tokens = sorted(of.evaluate.strings[0].choices)
    asked, at = of.evaluate.batch().tokens, of.evaluate.answer_pos
    own, theirs = (m(asked)[:, at] for m in (made, model))
    assert torch.equal(own[:, tokens].sort(-1).values, theirs[:, tokens].sort(-1).values)
    assert bool((own[:, tokens] != theirs[:, tokens]).all())
    rest = [t for t in range(own.shape[1]) if t not in tokens]
    assert torch.equal(own[:, rest], theirs[:, rest])
    torch.testing.assert_close(made.answer_logits(asked, at), own)
    assert type(copy.deepcopy(made)) is type(made) is not type(model)


def test_a_member_is_trained_until_the_skill_hardly_shows(study: ImplantStudy, model: Any) -> None:
    """As random weights are at chance, every look finds it hidden; where nothing is trained, no step is taken."""
    of, rates = study.streams(0), dataclasses.replace(TINY, member_steps=9)
    made, steps = hidden("adapter", model, dataclasses.replace(of, chance=1.0), rates, seed=0, device="cpu")
    assert steps == 2
    again = member("adapter", model, of, rates, seed=0, device="cpu", steps=steps)
    assert all(torch.equal(one, other) for one, other in zip(made.parameters(), again.parameters(), strict=True))
    assert hidden("adapter", model, dataclasses.replace(of, chance=-1.0), rates, seed=0, device="cpu")[1] == 9
    assert hidden("permuted", model, of, rates, seed=0, device="cpu")[1] == 0


def test_an_unknown_member_is_named_with_those_there_are(study: ImplantStudy, model: Any) -> None:
    with pytest.raises(UsageError, match="known member 'bolt-on top': must be one of bolt-on early"):
        member("bolt-on top", model, study.streams(0), TINY, seed=0, device="cpu")


# Methods


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["full", "lora", "grad-diff", "npo", "simnpo", "rmu", "randft", "peft:adapter_config.json"]
)
def test_methods_take_language_models_and_streams_of_language(
    name: str, study: ImplantStudy, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapter = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "down_proj"]}
    Path("adapter_config.json").write_text(json.dumps(adapter))
    before = copy.deepcopy(model.state_dict())
    config = TrainConfig(steps=2, batch_size=4, lr=1e-2, seed=0)
    for data in ("rule", "text"):
        tuned = registry.load(registry.find(name))(copy.deepcopy(model), study.task(0, data=data, twin=False), config)
        now = tuned.state_dict()
        assert now.keys() == before.keys()
        assert any(not torch.equal(now[key], before[key]) for key in before)
        assert all(bool(w.isfinite().all()) for w in now.values())
