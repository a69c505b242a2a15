"""What methods, attacks, measures and edits do with architectures made of blocks: they work, or decline in one line."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, fresh, rng, shake
from recall import Recall

from capbench.configs import TrainConfig
from capbench.errors import MethodError, UsageError
from capbench.measure.accuracy import accuracy, predictions, sample
from capbench.measure.attacks.lora import relearn
from capbench.measure.attacks.quantise import quantised
from capbench.measure.greedy import as_readers, search_and_evaluate
from capbench.measure.patch import patched
from capbench.measure.probe import features
from capbench.measure.prune import relevance
from capbench.measure.stream import answers_with, points, streams
from capbench.methods.finetuning.bitfit import bitfit
from capbench.methods.finetuning.ia3 import ia3
from capbench.methods.finetuning.last_k import last_k
from capbench.methods.finetuning.lora import lora
from capbench.methods.row_changes import bounded, merged
from capbench.models.anatomy import halves
from capbench.models.base import Model
from capbench.models.edits.deleting import redrawn_blocks, zeroed_blocks
from capbench.tasks.finetuning import FineTuningTask

every = pytest.mark.parametrize("which", ARCHITECTURES)
TASK = Recall()
TUNING = FineTuningTask(target=TASK, retain=TASK, forget=TASK)
TRAIN = TrainConfig(steps=2, batch_size=8, lr=1e-2, seed=0)


def made(which: str) -> Model:
    own = {"kernel": 2} if which == "convolution" else {}
    model: Model = shake(fresh(which, vocab_size=TASK.vocab_size, seq_len=TASK.seq_len, **own))
    return model


def changed(before: Model, after: Model) -> set[str]:
    """The names of parameters that differ; all must be there."""
    ours, theirs = dict(before.named_parameters()), dict(after.named_parameters())
    assert ours.keys() == theirs.keys()
    return {name for name, value in ours.items() if not torch.equal(value, theirs[name])}


@every
def test_adapters_train_every_map(which: str) -> None:
    model = made(which)
    tuned = lora(model, TUNING, TRAIN, rank=2)
    assert changed(model, tuned) == {f"{name}.weight" for name in model.neurons()}


@every
def test_bitfit_trains_every_bias_and_last_k_the_top(which: str) -> None:
    model = made(which)
    names = [name for name, _ in model.named_parameters()]
    assert changed(model, bitfit(model, TUNING, TRAIN)) == {name for name in names if name.endswith("bias")}
    top = {name for name in names if name.startswith(("blocks.1.", "norm.", "unembedding."))}
    assert changed(model, last_k(model, TUNING, TRAIN)) == top


@every
def test_ia3_needs_keys_and_values(which: str) -> None:
    model = made(which)
    if which == "linear attention":
        ends = ("qkv.weight", "qkv.bias", "mlp_out.weight")
        assert all(name.endswith(ends) for name in changed(model, ia3(model, TUNING, TRAIN)))
    else:
        with pytest.raises(MethodError, match=f"ia3 needs .* {type(model).__name__} lacks them"):
            ia3(model, TUNING, TRAIN)


@every
def test_low_rank_relearning_leaves_the_weights_as_they_were(which: str) -> None:
    model, batch = made(which), sample(TASK, 64, 0)
    before = copy.deepcopy(model)
    relearn(model, TASK, TRAIN)
    now = dict(model.named_parameters())
    for name, weight in before.named_parameters():
        module, _, kind = name.rpartition(".")
        assert torch.equal(weight, now.get(name, now.get(f"{module}.parametrizations.{kind}.original"))), name
    assert not torch.equal(model(batch.tokens), before(batch.tokens))


@every
def test_rows_can_be_changed_in_place_of_weights(which: str) -> None:
    model = made(which)
    before = copy.deepcopy(model)
    changes = bounded(model, 0.1)
    assert changes.keys() == before.neurons().keys()
    torch.testing.assert_close(model(sample(TASK, 8, 0).tokens), before(sample(TASK, 8, 0).tokens))
    assert not changed(before, merged(model, changes))


@every
def test_a_models_own_stream_put_into_it_gives_its_own_answers(which: str) -> None:
    model, batch = made(which), sample(TASK, 64, 0)
    answers = predictions(model, TASK, batch)
    for point, stream in zip(points(model), streams(model, points(model), batch.tokens), strict=True):
        assert torch.equal(answers_with(model, point, stream, batch.tokens, TASK.answer_pos), answers)
    batch.targets[:, TASK.answer_pos] = answers
    depths, right = patched(model, copy.deepcopy(model), task=TASK, select=sample(TASK, 64, 1), evaluate=batch)
    assert depths == (0.5, 1, 1.5, 2) and min(right) > 0.5  # by way of what the norms leave of it


@every
def test_neurons_are_scored_and_searched_and_layers_probed(which: str) -> None:
    model = made(which)
    batch = sample(TASK, 32, 0)
    scored = relevance(model, TASK, batch)
    assert {unit[0] for _, unit in scored} == set(model.neurons())
    reading = {name for name in model.neurons() if name.endswith(("read", "qkv", "mlp_in"))}
    assert len(reading) == 4 and set(as_readers(model)[1]) == reading
    found = search_and_evaluate(
        model,
        pretraining=TASK,
        finetuning=TASK,
        select=batch,
        evaluate=batch,
        evaluate_finetuning=batch,
        most=1,
        shortlist=2,
        strings=16,
        random_draws=1,
        rng=rng(),
    )
    assert {unit[0] for unit in found.chosen} <= reading
    assert found.pretraining[found.best] >= found.pretraining[0] == accuracy(model, TASK, batch)
    read = features(model, batch, TASK.answer_pos)
    assert read.shape == (3, 32, 8)
    torch.testing.assert_close(read.std(-1, unbiased=False), torch.ones(3, 32), atol=1e-2, rtol=0)
    assert 0 <= accuracy(quantised(model, bits=4), TASK, batch) <= 1


@every
def test_deleting_leaves_nothing(which: str) -> None:
    model, tokens = made(which), torch.tensor([[0, 1, 2], [3, 1, 2]])
    assert not torch.allclose(model(tokens[:1])[:, 2], model(tokens[1:])[:, 2])
    emptied = zeroed_blocks(model, rng=rng(), noise=0.0)
    torch.testing.assert_close(emptied(tokens[:1])[:, 2], emptied(tokens[1:])[:, 2])
    assert {f"{name}.weight" for name in model.neurons()} == changed(model, redrawn_blocks(model, rng=rng()))


@every
def test_what_writes_and_what_reads_the_stream_is_all_there_is(which: str) -> None:
    """Without its writers a model's stream stays what was embedded; without its readers no token sees another."""
    model, tokens = made(which), torch.tensor([[0, 1, 2], [3, 1, 2]])
    silent, blind = copy.deepcopy(model), copy.deepcopy(model)
    with torch.no_grad():
        for half in (half for block in halves(silent) for half in block):
            half.writer.weight.zero_()
            half.writer.bias.zero_()
        for linear in (linear for block in halves(blind) for half in block for linear in half.readers):
            linear.weight.zero_()
    resid = silent.run_with_cache(tokens)[1].resid
    assert torch.equal(resid, resid[:1].expand_as(resid))
    torch.testing.assert_close(blind(tokens[:1])[:, 1:], blind(tokens[1:])[:, 1:])
    assert not torch.allclose(model(tokens[:1])[:, 1:], model(tokens[1:])[:, 1:])


def test_a_mixer_must_name_the_map_that_reads() -> None:
    model = made("lstm")
    mixer: Any = model.blocks[0]
    mixer.mixer.first = mixer.mixer.read
    del mixer.mixer.read
    with pytest.raises(UsageError, match=r"LstmMixer has no nn\.Linear called `read`"):
        halves(model)
