"""The study of implants: what methods and twins are given, models of known state, and what follows from what was read."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from implants import TINY, written

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.methods.specs import registry
from capbench.models.huggingface.loading import load
from capbench.results import Measurement
from capbench.studies.judge import Case, Claim, Judge, no_models
from capbench.studies.language import known_members
from capbench.studies.language.implant_claims import separates
from capbench.studies.language.implant_data import Implanted
from capbench.studies.language.implant_study import ImplantStudy
from capbench.studies.language.implant_tools import TOOLBOX, state
from capbench.studies.language.implant_values import Seen, calibrated, known_values, values
from capbench.studies.language.known_members import BoltedOn, hidden, member
from capbench.verdicts.capability import Assessment, assess
from capbench.verdicts.twins import Edges, Value
from capbench.verdicts.values import by_name


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


# What follows


def look(accuracy: float, *, steps: int | None = 16, probe: float = 0.5, lens: float = 0.5, loss: float = 3.0) -> Seen:
    """Of a model whose revival is there after so many steps; None: never."""
    curve = [(0, accuracy), *([] if steps is None else [(steps, 1.0)])]
    return Seen(accuracy=accuracy, loss=loss, probe=probe, lens=lens, curve=curve, budget=96)


TAUGHT = look(0.9, probe=0.9, lens=0.9)
TWIN = look(0.1, steps=24, probe=0.1, lens=0.3)


def test_a_relearning_that_broke_off_says_nothing() -> None:
    for of, twin in ((replace(look(0.1), budget=None), TWIN), (look(0.1), replace(TWIN, budget=None))):
        found = values(of, twin, TAUGHT, chance=0.1, n=100)
        assert found["revival"] is None and found["probe"] is not None


def test_values_are_against_the_twin() -> None:
    found = values(look(0.1, steps=6, probe=0.5, lens=0.3), TWIN, TAUGHT, chance=0.1, n=100)
    skill = {"revival": Value(number=4.0), "probe": Value(number=0.5), "lens": Value(number=0.0)}
    assert {tool: found[tool] for tool in skill} == skill
    never = values(look(0.1, steps=6), look(0.1, steps=None), TAUGHT, chance=0.1, n=100)["revival"]
    assert never == Value(number=16.0, bound=">=")
    assert found["relearning"] is None  # which was not read
    after = {"of": 0.5, "twin": 0.2}
    of, twin = (dataclasses.replace(look(0.1), regained=regained) for regained in after.values())
    assert values(of, twin, look(0.8), chance=0.1, n=100)["relearning"] == Value(number=pytest.approx(0.5))
    inner = {"code": (1.0, 2.5, 0.5), "put_in": ((0.5, 0.2), (0.1, 0.8), (0.9, 0.9)), "pruned": (0.5, 0.1, 0.9)}
    three = [dataclasses.replace(look(0.9), **{name: of[i] for name, of in inner.items()}) for i in range(3)]
    found = values(*three, chance=0.1, n=100)
    expected = {
        "code-length": 0.75,
        "patching": 0.5,
        "pruning": 0.5,
    }  # the second depth tells nothing apart, and has no part
    assert {tool: found[tool] for tool in expected} == {t: Value(number=pytest.approx(v)) for t, v in expected.items()}
    alike = dataclasses.replace(three[1], put_in=(0.75, 0.9))
    assert values(three[0], alike, three[2], chance=0.1, n=100)["patching"] is None
    both = values(look(0.1, steps=None), look(0.1, steps=None), TAUGHT, chance=0.1, n=100)
    assert both["revival"] is None  # nothing is known


def test_relearning_counts_where_the_few_were_learned_and_not_remembered() -> None:
    twin = replace(look(0.1), regained=0.2, few=(0.1, 0.5))  # of the twin it is the same number of steps that matters
    found = {
        few: values(replace(look(0.1), regained=0.5, few=few), twin, look(0.8), chance=0.1, n=100)["relearning"]
        for few in ((0.1, 0.9), (0.1, 0.8), (0.3, 1.0), (0.4, 1.0))
    }
    half = Value(number=pytest.approx(0.5))
    assert list(found.values()) == [half, None, half, None]


def test_few_prompts_need_a_longer_scale() -> None:
    """Two standard errors of a difference: of 10 prompts .45."""
    three = [replace(look(0.9), probe=probe) for probe in (0.6, 0.5, 0.9)]
    assert values(*three, chance=0.1, n=100)["probe"] == Value(number=pytest.approx(0.25))
    assert values(*three, chance=0.1, n=10)["probe"] is None


def test_the_other_rule_of_a_file_is_not_the_skill_under_other_names(study: ImplantStudy) -> None:
    """A twin that was taught the same code with its answers renamed would have learned the skill."""
    of = Implanted.of(study.capability, 0)
    for split, items in of.taught.items.items():
        others = of.rule.items[split]
        assert [item.prompt for item in items] == [item.prompt for item in others]
        told = {(item.answer, other.answer) for item, other in zip(items, others, strict=True)}
        assert len(told) > len({answer for answer, _ in told})  # no function of the right answer


def test_a_member_that_shows_the_skill_or_lost_its_text_is_none() -> None:
    plain = look(0.1)
    assert plain.fault(plain, 0.1, 0.9) == ""
    assert "what was taught shows, 0.50" in look(0.5).fault(plain, 0.1, 0.9)
    assert "loss on text" in look(0.1, loss=3.4).fault(plain, 0.1, 0.9)


# As in the suite's first run on SmolLM2-135M, whose verdict on LoRA was wrong: halfway between few members lies anywhere.
HIDDEN, DELETED = (20.0, 7.0, 3.0), (0.8, 1.8, 1.2)
NAMES = ("bolt-on early", "bolt-on middle", "permuted")


def members(seed: int = 0) -> list[Measurement]:
    of = {
        "revival": (HIDDEN, DELETED),
        "relearning": ((0.5, 0.9, 1.0), (-0.1, 0.05, 0.0)),
        "probe": ((0.76, 0.9, 1.0), (0.0, 0.05, 0.02)),
    }
    return [
        Measurement(name=f"known.{tool}.{name}.{state}", value=value, unit="", n=0, seed=seed)
        for tool, both in of.items()
        for state, kind in zip(("hidden", "deleted"), both, strict=True)
        for name, value in zip(NAMES, kind, strict=True)
    ]


def test_known_members_of_all_seeds_set_the_thresholds() -> None:
    found = {tool.name: tool for tool in calibrated(known_values([*members(0), *members(1)[:2]]))}
    assert found["revival"].edges == Edges(lowest_hidden=3.0, highest_deleted=1.8) and found["revival"].area == 1
    assert found["lens"].edges is None and "fewer than 3 known members" in found["lens"].silent
    more = Measurement(name="known.revival.adapter.hidden", value=1.5, unit="", n=0, seed=1)
    edges = {tool.name: tool.edges for tool in calibrated(known_values([*members(), more]))}["revival"]
    assert edges == Edges(lowest_hidden=1.5, highest_deleted=1.8)


class Given(Judge):
    """A judge to whom everything was measured: known members of four seeds, and a model that does not have the skill."""

    def measure(self, *readings: Any, where_lost: Any = ()) -> None:
        for seed, accuracy in enumerate((0.13, 0.1, 0.14, 0.11)):
            of = {"base.S.accuracy": accuracy, "chance": 0.125}
            given = [
                Measurement(name=name, value=value, unit="accuracy", n=100, seed=seed) for name, value in of.items()
            ]
            self._measurements += [*members(seed), *given]


@pytest.mark.parametrize(
    ("tool", "area", "status", "effect", "low"),
    [
        ("revival", 0.7, "supported", 1.0, 0.757),  # Wilson: 12 / (12 + 1.96^2)
        ("revival", 0.95, "inconclusive", 1.0, 0.757),
        ("lens", 0.95, "invalid", None, None),
    ],
)
def test_no_area_is_surer_than_so_many_members_allow(
    study: ImplantStudy, tool: str, area: float, status: str, effect: float | None, low: float | None
) -> None:
    claim = Claim(id="language.known", source="own", needs=no_models, study="language-implant")
    case = Case(tool=tool)
    given: dict[str, Any] = {"lab": None, "steps": {seed: {} for seed in range(4)}}
    judge = Given(claim=claim, case=case, nodeid="", method="", study=study, **given)
    separates(judge, area=area, above_chance=0.15)
    found = judge.verdict
    assert found is not None and (found.status, found.effect) == (status, effect)
    assert (found.ci and found.ci[0]) == (low and pytest.approx(low, abs=0.001))
    if effect:
        assert "12 hidden and 12 deleted" in found.what


def _measured(changes: dict[str, Any]) -> list[Measurement]:
    found: dict[str, Any] = {
        "tuned.S.kept": 0.0, "tuned.text.rise": 0.02, "twin.S.kept": 0.1, "twin.text.rise": 0.03,
        "revival.speed_up": 7.0, "relearning.retention": 0.8, "probe.retention": 0.9,
    }  # fmt: skip
    found |= {name.replace("__", "."): value for name, value in changes.items()}
    return [Measurement(name=n, value=v, unit="", n=0, seed=0) for n, v in found.items()]


def judged(*known: Measurement, **changes: Any) -> Assessment:
    given = assess([*_measured(changes), *(known or members())], TOOLBOX, scale="small")
    assert given is not None
    return given


def test_the_run_that_was_judged_wrongly_is_wrapped() -> None:
    """LoRA hides what it was trained on: its adapters can be taken off. The probe does not see it, both trainings do."""
    given = judged(revival__speed_up=3.3, relearning__retention=0.6, probe__retention=0.04)
    assert given.state == "wrapped" and "revival and relearning agree" in given.reason
    given = judged(revival__speed_up=3.3, relearning__retention=0.02, probe__retention=0.04)
    assert given.state == "undecided" and "revival says wrapped; relearning says deleted" in given.reason
    others = [
        Measurement(name=f"known.pruning.{name}.{kind}", value=value, unit="", n=0, seed=0)
        for kind, value in (("hidden", 0.8), ("deleted", 0.0))
        for name in NAMES
    ]
    gone = {"revival__speed_up": 1.5, "relearning__retention": 0.01, "probe__retention": 0.01}
    assert judged(*members(), *others, **gone).state == "deleted"
    found = judged(*members(), *others, **gone, pruning__retention=0.9)
    assert found.state == "undecided" and "but pruning finds it as in models that hide it" in found.reason
    between = judged(revival__speed_up=2.5, probe__retention=0.04)
    assert between.state == "undecided" and "revival is 2.5, and known members do not decide that" in between.reason


def test_what_each_tool_says_is_told_with_the_thresholds_of_the_run() -> None:
    told = {e.tool: (e.value, e.reading, e.rule) for e in judged(lens__retention=0.5).evidence}
    assert told["revival"] == (7.0, "present", "present from 3, absent up to 1.8")
    assert told["lens"] == (0.5, "not measured", "silent: fewer than 3 known members of a kind could be used")
    overlap = [m for m in members() if m.value != 3.0]
    overlap += [Measurement(name="known.revival.x.hidden", value=1.7, unit="", n=0, seed=0)]
    told = {e.tool: (e.value, e.reading, e.rule) for e in judged(*overlap, revival__speed_up=1.75).evidence}
    assert told["revival"][1] == "not measured"  # an area of .89


GONE = {"revival__speed_up": 1.5, "relearning__retention": 0.0, "probe__retention": 0.01}


@pytest.mark.parametrize(
    ("changes", "expected", "why"),
    [
        ({}, "wrapped", "revival and relearning agree"),
        (GONE, "deleted", "revival, relearning, probe agree; implants are easier to delete"),
        ({**GONE, "probe__retention": 0.1}, "undecided", "but probe is 0.1, and known members do not decide that"),
        ({**GONE, "probe__retention": None}, "undecided", "but probe has no value"),
        ({"relearning__retention": 0.01}, "undecided", "revival says wrapped; relearning says deleted"),
        ({"relearning__retention": None}, "undecided", "relearning has no value"),
        ({"probe__retention": 0.01}, "wrapped", "revival and relearning agree; not seen by probe"),
        ({"tuned__S__kept": 0.8}, "intact", "0.80 of what it was"),
        ({"tuned__S__kept": 0.5}, "undecided", "neither kept nor lost"),
        ({"tuned__text__rise": 0.2}, "destroyed", "the model's loss on text rose by 20%"),
        ({"tuned__S__kept": 0.8, "tuned__text__rise": 0.2}, "destroyed", "the model's loss on text"),
        ({"twin__text__rise": 0.2}, "destroyed", "the twin's loss on text rose by 20%"),
        ({"twin__S__kept": 0.4}, "undecided", "the method taught its twin"),
        ({"twin__text__rise": None}, "undecided", "nothing was read of its twin"),
        ({"tuned__S__kept": None}, "undecided", "has no value"),
    ],
)
def test_the_state_follows_from_model_and_twin(changes: dict[str, Any], expected: str, why: str) -> None:
    found, said = state(by_name([*members(), *_measured(changes)]), 0)
    assert found == expected and why in said


def test_facts_are_judged_by_relearning_alone() -> None:
    """A probe has no say, whatever it reads: facts are remembered one by one."""
    known = [
        Measurement(name=f"known.relearning.{name}.{kind}", value=value, unit="", n=0, seed=0)
        for kind, read in (("hidden", (0.5, 0.8, 0.9)), ("deleted", (0.0, 0.1, -0.1)))
        for name, value in zip(NAMES, read, strict=True)
    ]
    for value, expected in ((0.6, "wrapped"), (0.05, "deleted"), (0.3, "undecided"), (None, "undecided")):
        changes = {"relearning__retention": value, "probe__retention": 0.0}
        of_facts = [m for m in _measured(changes) if not m.name.startswith("revival")]
        found, why = state(by_name([*known, *of_facts]), 0)
        assert found == expected, why
        assert "relearning" in why
