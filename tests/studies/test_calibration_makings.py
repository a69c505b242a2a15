"""Methods that make models of known state: what they change, and that it can be taken off again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from tiny import TINY, study
from torch import Tensor

from capbench.methods.silencing import silent
from capbench.methods.specs.registry import find, load
from capbench.models.base import Model
from capbench.models.edits.deleting import redrawn
from capbench.models.gpt import Gpt
from capbench.studies.calibration.makings.silenced import silenced
from capbench.tasks.base import Batch
from capbench.tasks.finetuning import FineTuningTask

MAKINGS = "capbench.studies.calibration.makings"
STEP = study().finetuned(0, prior="low", c_tr=1, lr="medium")
CONFIG = replace(STEP.train, steps=4)


@pytest.fixture
def model() -> Model:
    return Gpt.initialised(TINY.model(TINY.setting), torch.Generator().manual_seed(0))


def moved(before: Mapping[str, Tensor], after: Model) -> dict[str, Tensor]:
    """The weights that differ, with the difference."""
    found = {name: value - before[name] for name, value in after.state_dict().items()}
    return {name: change for name, change in found.items() if bool(change.any())}


def made(model: Model, name: str, **arguments: float) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
    """What a making changed in a copy of the model, and the weights before."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    method = load(find(f"{MAKINGS}.{name}", arguments=tuple(arguments.items())))
    tuned = method(model, STEP.task, CONFIG)
    assert not moved(before, model), "the given model must stay as it is"
    assert set(tuned.state_dict()) == set(before) and all(p.requires_grad for p in tuned.parameters())
    return moved(before, tuned), before


@pytest.mark.parametrize("name", ["spread:spread", "pruning_proof:pruning_proof"])
def test_a_spread_suppressor_changes_every_row_a_little(model: Model, name: str) -> None:
    changed, before = made(model, name, share=0.1)
    maps = {f"{m}.weight" for m in model.neurons()}
    assert set(changed) == maps
    for which in maps:
        share = changed[which].norm(dim=1) / before[which].norm(dim=1)
        assert float(share.max()) <= 0.1 + 1e-5
        if which.endswith("mlp_out.weight"):  # one that every string passes
            assert bool((share > 0).all())


def test_biases_alone_train(model: Model) -> None:
    changed, _ = made(model, "biases:biases")
    assert changed and all(name.endswith("bias") for name in changed)


def test_only_the_header_s_rows_are_swapped(model: Model) -> None:
    changed, _ = made(model, "swapped:swapped")
    vocabulary = TINY.setting.vocabulary
    assert set(changed) == {"token_embedding.weight"}
    rows = changed["token_embedding.weight"].any(1).nonzero().flatten().tolist()
    assert {vocabulary.names[row] for row in rows} == {"T_C", str(TINY.setting.numbers["C"])}


@pytest.mark.parametrize(
    "name",
    [
        "tamper_resistant:tamper_resistant",
        "silenced:silenced",
        "in_part:in_part",
        "retrained:retrained",
        "overheated:ascent",
        "overheated:overheated",
    ],
)
def test_the_others_train_all_weights(model: Model, name: str) -> None:
    changed, before = made(model, name)
    assert len(changed) > 0.8 * len(before)


def test_silence_is_learnt(model: Model) -> None:
    """With the same strings, the loss of giving no information falls; at best it is that of the answers' distribution."""
    task = STEP.task.forget
    batch = task.sample(64, torch.Generator().manual_seed(1))
    tuned = silenced(model, STEP.task, replace(CONFIG, steps=60, lr=2e-3))
    with torch.no_grad():
        assert float(silent(tuned, batch, task)) < float(silent(model, batch, task)) - 0.5


def test_silence_is_not_the_right_answer() -> None:
    """The loss of a model that answers each string as another of the batch wants it is low; that of the right answers is not."""
    task = STEP.task.forget
    batch = task.sample(32, torch.Generator().manual_seed(1))
    answers = batch.targets[:, task.answer_pos]

    class Answers(Gpt):
        wanted: Tensor

        def answer_logits(self, tokens: Tensor, position: int) -> Tensor:
            return 50 * torch.nn.functional.one_hot(self.wanted, self.config.vocab_size).float()

    model = Answers(TINY.model(TINY.setting))
    model.wanted = answers.roll(1)
    assert float(silent(model, batch, task)) < 0.01
    model.wanted = answers
    differ = float((answers != answers.roll(1)).float().mean())
    assert float(silent(model, batch, task)) == pytest.approx(50 * differ, rel=0.01) and differ > 0.3


def test_a_share_of_the_weights_is_redrawn(model: Model) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed = moved(before, redrawn(model, rng=torch.Generator().manual_seed(0), share=0.3))
    assert changed and all(
        name.startswith("blocks.") and name.endswith("weight") and "norm" not in name for name in changed
    )
    for change in changed.values():
        assert float(change.bool().float().mean()) == pytest.approx(0.3, abs=0.1)
    assert not moved(before, redrawn(model, rng=torch.Generator().manual_seed(0), share=0.0))


def test_makings_are_told_from_each_other_by_what_they_do() -> None:
    names = ["spread:spread", "biases:biases", "silenced:silenced", "tamper_resistant:tamper_resistant"]
    digests = {find(f"{MAKINGS}.{name}").digest for name in names}
    assert len(digests) == len(names)


def test_a_task_without_other_families_is_kept_by_its_target() -> None:
    from capbench.methods.silencing import kept

    task: FineTuningTask = replace(STEP.task, others=None)
    assert kept(task) is task.target and kept(STEP.task) is STEP.task.others
    assert isinstance(kept(task).sample(2, torch.Generator()), Batch)
