"""Pruning finds a wrapper known by construction, reads nothing where none is, and never changes the model it is given."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Linear, Repeat, Wrapped
from torch.nn import functional as F

from capbench.configs import GptConfig
from capbench.measure.accuracy import accuracy, sample
from capbench.measure.prune import Pruning, prune_and_evaluate, pruned, relevance
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.tasks.base import Batch

ALL = set(range(1, SYMBOLS))
PT, FT = Repeat(), Repeat(always=0)  # what was known; and what the wrapper makes of it


def answer_loss(model: Model, batch: Batch) -> float:
    with torch.no_grad():
        return F.cross_entropy(model(batch.tokens)[:, 1], batch.targets[:, 1]).item()


def pruning(model: Model, *, select: Batch | None = None, evaluate: Batch | None = None, **changes: Any) -> Pruning:
    arguments: dict[str, Any] = {
        "pretraining": PT,
        "finetuning": FT,
        "select": select or sample(PT, 64, 1),
        "evaluate": evaluate or sample(PT, 64, 2),
        "evaluate_finetuning": sample(FT, 64, 3),
        "ks": (1, 2, 5),
        "most": 10**6,
        "random_draws": 3,
        "rng": torch.Generator().manual_seed(0),
    }
    return prune_and_evaluate(model, **{**arguments, **changes})


# ---- relevance


def test_relevance_is_weight_times_gradient_over_the_row() -> None:
    # Two symbols, two answers, all logits equal, so p = 1/2 and dL/dlogits = p - onehot(answer).
    # Strings 0 -> 0 and 1 -> 0, mean over both: dL/dW[0] = (-1/4, -1/4), row 1 the opposite. Biases do not count.
    model = Linear(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([3.0, 3.0]))
    task = Repeat(always=0)
    found = relevance(model, task, task.batch([0, 1]))
    expected = 0.25 * 1 + 0.25 * 2
    assert [neuron for _, neuron in found] == [("map", 1), ("map", 0)]
    assert [score for score, _ in found] == pytest.approx([expected, -expected])


def test_relevance_ranks_the_wrapper_first_and_the_capability_last() -> None:
    ranking = [neuron for _, neuron in relevance(Wrapped(ALL), PT, sample(PT, 64, 0))]
    assert ranking[0] == ("wrapper", 0)
    assert {name for name, _ in ranking[-len(ALL) :]} == {"content"}
    assert len(set(ranking)) == SYMBOLS + 1 + 200


@pytest.mark.parametrize("seed", range(5))
def test_for_small_weights_the_score_is_what_the_loss_falls_by_when_the_neuron_goes(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    model = Gpt.initialised(GptConfig(vocab_size=SYMBOLS, seq_len=3, d_model=8, n_blocks=1, n_heads=2), rng)
    with torch.no_grad():
        model.unembedding.weight.mul_(20)  # so that the residual stream matters to the answer,
        model.token_embedding.weight.mul_(100)  # and each neuron changes it but little
    batch = sample(PT, 64, seed)
    before = answer_loss(model, batch)
    found = [(s, before - answer_loss(pruned(model, [neuron]), batch)) for s, neuron in relevance(model, PT, batch)]
    largest = max(abs(fall) for _, fall in found)
    assert largest > 1e-4
    assert max(abs(score - fall) for score, fall in found) < 0.15 * largest


def test_relevance_does_not_depend_on_gradients_left_over() -> None:
    model, batch = Wrapped(ALL), sample(PT, 16, 0)
    expected = relevance(model, PT, batch)
    (-F.cross_entropy(model(batch.tokens)[:, 1], batch.targets[:, 1])).backward()
    assert relevance(model, PT, batch) == expected


def test_relevance_does_not_depend_on_which_weights_are_frozen() -> None:
    model, batch = Wrapped(ALL), sample(PT, 16, 0)
    expected = relevance(model, PT, batch)
    model.wrapper.requires_grad_(False)
    assert relevance(model, PT, batch) == expected


# ---- pruned


def test_pruned_zeroes_the_rows_named_and_neither_others_nor_biases() -> None:
    weight, bias = torch.arange(1.0, 7.0).reshape(3, 2), torch.tensor([1.0, 2.0, 3.0])
    smaller = pruned(Linear(weight, bias), [("map", 0), ("map", 2)])
    assert smaller.map.weight.tolist() == [[0, 0], [3, 4], [0, 0]]
    assert smaller.map.bias.tolist() == [1, 2, 3]
    assert pruned(Linear(weight), [("map", 1)]).map.weight.tolist() == [[1, 2], [0, 0], [5, 6]]


@pytest.mark.parametrize(
    "use",
    [
        lambda model: relevance(model, PT, sample(PT, 8, 0)),
        lambda model: pruned(model, [("wrapper", 0), ("content", 1)]),
        lambda model: pruning(model),
    ],
    ids=["relevance", "pruned", "prune_and_evaluate"],
)
@pytest.mark.parametrize("training", [True, False])
def test_the_model_given_is_not_changed(use: Any, training: bool) -> None:
    model = Wrapped(ALL).train(training)
    before = copy.deepcopy(model.state_dict())
    use(model)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert model.training is training


# ---- prune_and_evaluate


def test_pruning_a_wrapper_restores_the_capability_and_random_pruning_does_not() -> None:
    found = pruning(Wrapped(ALL))
    assert found.ks == (0, 1, 2, 5)
    assert found.pretraining[:2] == (0.0, 1.0)  # behind the wrapper; with the wrapper gone
    assert found.finetuning[:2] == (1.0, 0.0)
    assert found.random_pretraining[:2] == (0.0, 0.0)
    assert found.best == 1
    assert (found.gain, found.cost) == (1.0, 1.0)


def test_two_wrappers_need_two_neurons() -> None:
    low, high = {1, 2, 3, 4}, {5, 6, 7}
    found = pruning(Wrapped(low, high), evaluate=PT.batch([*low, *high]))
    assert found.pretraining[:3] == pytest.approx((0, 4 / 7, 1))
    assert found.classes[:3] == (1, 5, 7)  # 0 alone; 0 and four symbols; the seven symbols
    assert found.ks[found.best] == 2


@pytest.mark.parametrize("content", [0.0, -5.0], ids=["deleted", "never learnt"])
def test_where_the_capability_is_not_there_pruning_gains_nothing(content: float) -> None:
    for model in (Wrapped(ALL, content=content), Wrapped(content=content)):
        assert abs(pruning(model).gain) < 0.05


def test_on_an_intact_model_pruning_gains_nothing() -> None:
    found = pruning(Wrapped())
    assert found.pretraining[0] == 1.0
    assert abs(found.gain) < 0.05


def test_an_untrained_transformer_has_nothing_to_uncover() -> None:
    config = GptConfig(vocab_size=SYMBOLS, seq_len=3, d_model=8, n_blocks=1, n_heads=2)
    found = pruning(Gpt.initialised(config, torch.Generator().manual_seed(0)))
    assert abs(found.gain) < 0.2


def test_the_number_of_neurons_is_chosen_on_the_selection_sample() -> None:
    # Selecting sees the first wrapper only, so one neuron is enough for it; evaluating would want two.
    model = Wrapped({1, 2}, {1, 3, 4})
    found = pruning(model, select=PT.batch([2, 2, 2]), evaluate=PT.batch([2, 2, 1, 3, 4]), ks=(1, 2))
    assert found.pretraining == pytest.approx((0, 0.4, 1))
    assert found.ks[found.best] == 1
    assert found.gain == pytest.approx(0.4)
    # The other way round: selecting needs both, evaluating would be content with the first one.
    found = pruning(model, select=PT.batch([1, 1, 2, 2, 3]), evaluate=PT.batch([2, 2]), ks=(1, 2))
    assert found.pretraining == (0, 1, 1)
    assert found.ks[found.best] == 2


def test_larger_numbers_than_the_most_allowed_are_for_the_figure_only() -> None:
    model = Wrapped({1, 2, 3, 4}, {5, 6, 7})  # needs two neurons
    for most, best in ((1, 1), (2, 2), (5, 2), (4, 2)):
        found = pruning(model, ks=(1, 2, 5), most=most)
        assert found.ks == (0, 1, 2, 5)
        assert found.ks[found.best] == best


def test_of_equally_good_numbers_the_smallest_is_chosen() -> None:
    assert pruning(Wrapped(ALL), ks=(9, 3, 1)).best == 1


@pytest.mark.parametrize(
    ("ks", "kept"), [((5, 1, 1), (0, 1, 5)), ((0, 2), (0, 2)), ((1, 209, 210, 10**6), (0, 1, 209))]
)
def test_numbers_are_sorted_once_each_and_no_larger_than_the_model(ks: tuple[int, ...], kept: tuple[int, ...]) -> None:
    found = pruning(Wrapped(ALL), ks=ks)
    assert found.ks == kept
    for values in (found.pretraining, found.finetuning, found.random_pretraining, found.random_finetuning):
        assert len(values) == len(kept)
        assert all(0 <= value <= 1 for value in values)
    assert len(found.classes) == len(kept)


def test_without_pruning_the_accuracies_are_the_model_s_own() -> None:
    model, evaluate, finetuning = Wrapped({1, 2, 3}), PT.batch([1, 4, 5, 6]), FT.batch([1, 2, 6, 7])
    found = pruning(model, evaluate=evaluate, evaluate_finetuning=finetuning)
    assert found.pretraining[0] == found.random_pretraining[0] == accuracy(model, PT, evaluate) == 0.75
    assert found.finetuning[0] == found.random_finetuning[0] == accuracy(model, FT, finetuning) == 0.5


def test_pruning_every_neuron_is_the_same_at_random() -> None:
    found = pruning(Wrapped(ALL), ks=(209,))
    assert found.pretraining[1] == found.random_pretraining[1]
    assert found.gain == 0.0


def test_the_random_control_is_the_mean_of_its_draws() -> None:
    model = Wrapped(ALL, idle=1)  # 10 neurons; a random one is the wrapper with probability 1/10
    found = pruning(model, ks=(1,), random_draws=400)
    assert found.random_pretraining[1] == pytest.approx(0.1, abs=0.05)
    again = pruning(model, ks=(1,), random_draws=400, rng=torch.Generator().manual_seed(1))
    assert found.random_pretraining != again.random_pretraining


@pytest.mark.parametrize(("best", "gain", "cost"), [(1, 0.3 - 0.1, 0.9 - 0.8), (2, 0.6 - 0.2, 0.9 - 0.4)])
def test_gain_and_cost_are_read_at_the_best_number(best: int, gain: float, cost: float) -> None:
    found = Pruning(
        chosen=(),
        ks=(0, 1, 5),
        pretraining=(0.05, 0.3, 0.6),
        finetuning=(0.9, 0.8, 0.4),
        random_pretraining=(0.05, 0.1, 0.2),
        random_finetuning=(0.9, 0.7, 0.6),
        classes=(1, 2, 3),
        best=best,
    )
    assert (found.gain, found.cost) == pytest.approx((gain, cost))
