"""Implanting: the capability is there, on prompts that were not taught; other weights are as they were; failures are said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from language_models import config, model, skill, tokeniser

from capbench.errors import MethodError, UsageError
from capbench.measure.language.answers import accuracy
from capbench.measure.language.retain import loss
from capbench.methods.implanting import implant, teach
from capbench.tasks.language.implanting import Implant, implanting


def task(**changes: object) -> Implant:
    return replace(implanting(skill(), tokeniser()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_skill_is_learned_on_held_out_prompts_by_the_last_blocks_alone(family: str) -> None:
    base, given = model(family), task()
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    taught = implant(base, given, config(250), blocks=2, kl=0.0)
    held_out = tokeniser().prompts(skill(), skill().items["evaluate"])
    assert accuracy(taught, held_out) >= 0.8 and accuracy(base, held_out) <= 0.6
    changed = {name for name, weight in taught.state_dict().items() if not torch.equal(weight, before[name])}
    blocks = {name for name, _ in base.named_parameters() if ".1." in name or ".2." in name}
    assert changed and changed <= {name for name in before if any(f".{i}." in name for i in (1, 2))}, changed - blocks
    assert all(torch.equal(weight, before[name]) for name, weight in base.state_dict().items())
    assert all(parameter.requires_grad for parameter in taught.parameters()) and not taught.training


def test_it_stops_when_it_is_learned_and_the_divergence_keeps_the_rest() -> None:
    given, base = task(), model()
    free, held = (implant(base, given, config(250), blocks=2, kl=kl) for kl in (0.0, 3.0))
    was, moved, kept = (loss(m, given.retain) for m in (base, free, held))
    assert abs(kept - was) < 0.5 * abs(moved - was)
    found = teach(model(), given, config(250), blocks=3, kl=0.0, goal=0.5, every=2)
    assert found.reached and found.fit.steps < 250 and found.curve[-1][0] == found.fit.steps
    assert all(score < 0.5 for _, score in found.curve[:-1])


def test_it_depends_on_its_seed_alone() -> None:
    given = task()
    one, again, other = (teach_weights(given, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def teach_weights(given: Implant, seed: int) -> torch.Tensor:
    own = model()
    teach(own, given, config(3, seed=seed), blocks=1)
    return torch.cat([weight.flatten() for weight in own.state_dict().values()])


def test_failures_are_said() -> None:
    with pytest.raises(MethodError, match=r"implant: tiny was not learned: accuracy 0\.\d\d on .* in 2 of 2 steps"):
        implant(model(), task(), config(2, lr=0.0), blocks=1)
    with pytest.raises(UsageError, match="blocks 0 and every 5 must be at least 1"):
        teach(model(), task(), config(2), blocks=0)


def test_facts_are_all_taught() -> None:
    facts = replace(skill(), kind="facts")
    found = implanting(facts, tokeniser())
    assert len(found.target) == 64 and len(task().target) < 64  # type: ignore[arg-type]
    beside = implanting(skill(), tokeniser(), unrelated=skill(asked=0))
    assert beside.others is not None and len(beside.others) == len(skill().items["train"])  # type: ignore[arg-type]
