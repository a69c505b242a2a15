"""Pruning single weights, by score and by search: finds a planted wrapper, and nothing where none is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Linear, Repeat
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.measure import prune
from capbench.measure.accuracy import accuracy, sample
from capbench.measure.prune import Pruning, prune_and_evaluate, pruned, relevance, searched
from capbench.models.base import Model

PT, FT = Repeat(), Repeat(always=0)
HIDING = (("wrapper", 0, 0), ("wrapper", 0, 1))


class Planted(Model):
    """Knows every answer, but single weights push the answer 0 for the symbols that they stand for.

    Column i of the one row of `wrapper` fires on the symbols of wrappers[i]. `small`: hundreds of weights that do next to
    nothing; `large`: weights as large as those of the wrapper that do nothing at all.
    """

    def __init__(self, *wrappers: set[int], content: float = 5.0, large: int = 1000) -> None:
        super().__init__()
        fires = torch.zeros(max(1, len(wrappers)), SYMBOLS)
        for column, symbols in enumerate(wrappers):
            fires[column, sorted(symbols)] = 1.0
        self.register_buffer("fires", fires)
        self.content = nn.Linear(SYMBOLS, SYMBOLS, bias=False)
        self.wrapper = nn.Linear(len(fires), 1, bias=False)
        self.large = nn.Linear(large, 1, bias=False)
        self.small = nn.Linear(SYMBOLS, 40, bias=False)
        with torch.no_grad():
            self.content.weight.copy_(content * torch.eye(SYMBOLS))
            self.wrapper.weight.fill_(20.0 if wrappers else 0.0)
            self.large.weight.fill_(-20.0)
            self.small.weight.fill_(1e-4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = nn.functional.one_hot(tokens[:, 0], SYMBOLS).float()
        push = self.wrapper(x @ self.fires.T)
        idle = 0 * self.large.weight.sum() + 1e-3 * self.small(x).sum(-1, keepdim=True)
        zero = nn.functional.one_hot(torch.zeros(len(tokens), dtype=torch.long), SYMBOLS)
        logits = self.content(x) + (push + idle) * zero
        return logits.unsqueeze(1).expand(-1, tokens.shape[1], -1)


ALL = set(range(1, SYMBOLS))
LOW, HIGH = {1, 2, 3, 4}, {5, 6, 7}


def pruning(model: Model, **changes: Any) -> Pruning:
    arguments: dict[str, Any] = {
        "pretraining": PT,
        "finetuning": FT,
        "select": sample(PT, 64, 1),
        "evaluate": sample(PT, 64, 2),
        "evaluate_finetuning": sample(FT, 64, 3),
        "ks": (1, 2, 4),
        "most": 2,
        "random_draws": 4,
        "rng": torch.Generator().manual_seed(0),
        "units": "weights",
    }
    return prune_and_evaluate(model, **{**arguments, **changes})


both_ways = pytest.mark.parametrize("search", [0, 30], ids=["by score", "by search"])

# ---- relevance and pruned


def test_relevance_of_a_weight_is_weight_times_gradient() -> None:
    # As for neurons in test_prune.py: dL/dW[0] = (-1/4, -1/4), row 1 the opposite.
    model = Linear(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([3.0, 3.0]))
    task = Repeat(always=0)
    found = relevance(model, task, task.batch([0, 1]), units="weights")
    assert [unit for _, unit in found] == [("map", 1, 1), ("map", 1, 0), ("map", 0, 0), ("map", 0, 1)]
    assert [score for score, _ in found] == pytest.approx([0.5, 0.25, -0.25, -0.5])


def test_a_neuron_s_score_is_the_sum_of_its_weights_scores() -> None:
    model, batch = Planted(LOW, HIGH), sample(PT, 64, 0)
    by_row: dict[Any, float] = {}
    for score, (name, row, _) in relevance(model, PT, batch, units="weights"):  # type: ignore[misc]
        by_row[name, row] = by_row.get((name, row), 0.0) + score
    assert by_row == pytest.approx({unit: score for score, unit in relevance(model, PT, batch)}, abs=1e-5)


def test_relevance_ranks_the_planted_weights_first_and_names_each_weight_once() -> None:
    ranking = [unit for _, unit in relevance(Planted(LOW, HIGH), PT, sample(PT, 64, 0), units="weights")]
    assert set(ranking[:2]) == set(HIDING)
    assert len(set(ranking)) == len(ranking) == SYMBOLS * SYMBOLS + 2 + 1000 + 40 * SYMBOLS


def test_pruned_zeroes_exactly_the_weights_named() -> None:
    weight, bias = torch.arange(1.0, 7.0).reshape(3, 2), torch.tensor([1.0, 2.0, 3.0])
    model = Linear(weight, bias)
    smaller = pruned(model, [("map", 1, 0)])
    assert smaller.map.weight.tolist() == [[1, 2], [0, 4], [5, 6]] and smaller.map.bias.tolist() == [1, 2, 3]
    assert pruned(model, [("map", 0, 1), ("map", 2, 0)]).map.weight.tolist() == [[1, 0], [3, 4], [0, 6]]
    assert pruned(model, []).map.weight.tolist() == model.map.weight.tolist() == weight.tolist()


# ---- searched


def test_a_search_finds_the_planted_weights_one_after_the_other_and_no_more() -> None:
    batch = PT.batch([*LOW, *HIGH])
    for candidates in (2, 30, 10**6):
        found = searched(Planted(LOW, HIGH), PT, batch, units="weights", candidates=candidates, most=4)
        assert found == [("wrapper", 0, 0), ("wrapper", 0, 1)]  # the one that hides more is first
    assert searched(Planted(LOW, HIGH), PT, batch, units="weights", candidates=30, most=1) == [("wrapper", 0, 0)]
    assert searched(Planted(LOW, HIGH), PT, batch, units="weights", candidates=0, most=4) == []


def test_a_search_for_neurons_finds_the_row() -> None:
    assert searched(Planted(ALL), PT, sample(PT, 64, 0), units="neurons", candidates=30, most=4) == [("wrapper", 0)]


def test_a_search_that_cannot_do_better_chooses_nothing() -> None:
    for model in (Planted(), Planted(ALL, content=0.0)):
        assert searched(model, PT, sample(PT, 64, 0), units="weights", candidates=30, most=4) == []


def test_a_search_sees_what_first_order_scores_miss() -> None:
    """A saturated push has no gradient to speak of: its score is next to nothing, and removing it does all the good."""

    class Saturated(Planted):
        def forward(self, tokens: Tensor) -> Tensor:
            logits = super().forward(tokens).clone()
            push = self.wrapper.weight[0, 0].tanh() * 1e3  # tanh(20): flat
            logits[:, :, 0] = logits[:, :, 0] + push
            return logits

    model = Saturated({1})
    with torch.no_grad():
        model.fires.zero_()
    batch = sample(PT, 64, 0)
    assert searched(model, PT, batch, units="weights", candidates=10**6, most=2)[0] == ("wrapper", 0, 0)
    assert pruning(model, search=10**6).gain == 1.0
    assert pruning(model).gain < 0.5


# ---- prune_and_evaluate


@both_ways
def test_pruning_weights_finds_the_planted_wrapper(search: int) -> None:
    found = pruning(Planted(ALL), search=search)
    assert found.pretraining[:2] == (0.0, 1.0) and found.finetuning[:2] == (1.0, 0.0)
    assert found.ks[found.best] == 1 and found.chosen == (("wrapper", 0, 0),)
    assert (found.gain, found.cost) == (1.0, 1.0)
    found = pruning(Planted(LOW, HIGH), search=search, evaluate=PT.batch([*LOW, *HIGH]))
    assert found.pretraining[:3] == pytest.approx((0, 4 / 7, 1)) and found.classes[:3] == (1, 5, 7)
    assert found.ks[found.best] == 2 and set(found.chosen) == set(HIDING)


@both_ways
@pytest.mark.parametrize("content", [5.0, 0.0], ids=["intact", "deleted"])
def test_where_nothing_is_hidden_nothing_is_found(content: float, search: int) -> None:
    found = pruning(Planted(content=content), search=search)
    assert abs(found.gain) < 0.05
    assert found.chosen == () and found.ks[found.best] == 0


def test_chosen_are_the_first_of_the_ranking_up_to_the_best_number() -> None:
    model, select = Planted(LOW, HIGH), sample(PT, 64, 1)
    ranking = [unit for _, unit in relevance(model, PT, select, units="weights")]
    for most in (1, 2, 4):
        found = pruning(model, most=most, select=select)
        assert found.chosen == tuple(ranking[: min(most, 2)]) and len(found.chosen) == found.ks[found.best]
    neurons = pruning(model, units="neurons", select=select)
    assert neurons.chosen == (("wrapper", 0),)


def test_the_search_looks_at_the_selection_sample_only(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = {name: sample(PT, 64, i) for i, name in enumerate(("select", "evaluate"))}
    asked: list[str] = []

    def watched(model: Model, task: Any, batch: Any) -> float:
        asked.append(next((name for name, its in samples.items() if its is batch), "finetuning"))
        return accuracy(model, task, batch)

    monkeypatch.setattr(prune, "accuracy", watched)
    chosen: list[Any] = []

    def spied(*given: Any, **more: Any) -> Any:
        before = len(asked)
        chosen.append(searched(*given, **more))
        assert set(asked[before:]) == {"select"}
        return chosen[-1]

    monkeypatch.setattr(prune, "searched", spied)
    found = pruning(Planted(LOW, HIGH), search=30, **samples)
    assert len(chosen) == 1 and found.chosen == tuple(chosen[0])


@both_ways
def test_random_weights_are_as_large_as_those_pruned(search: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[Any]] = []

    def spied(model: Model, units: Any) -> Model:
        drawn.append(list(units))
        return pruned(model, units)

    monkeypatch.setattr(prune, "pruned", spied)
    model = Planted(LOW, HIGH)
    found = pruning(model, ks=(1, 2), search=search, random_draws=30)
    named = {name: linear.weight for name, linear in model.neurons().items()}
    best, controls = found.chosen, [units for units in drawn if units and set(units) - set(HIDING)]
    assert set(best) == set(HIDING) and len(controls) >= 40
    assert {len(units) for units in controls} == {1, 2}
    for units in controls:
        assert len(set(units)) == len(units)
        assert all(abs(named[name][row, column].item()) == 20.0 for name, row, column in units)
    assert len({tuple(units) for units in controls}) > 10


def test_the_random_control_of_weights_never_draws_the_pruned_one() -> None:
    # 10 weights as large as the wrapper, itself among them: drawn with it, a random one would uncover in 1 of 10 draws.
    found = pruning(Planted(ALL, large=9), ks=(1,), random_draws=400)
    assert found.random_pretraining == (0.0, 0.0) and found.gain == 1.0


def test_the_number_of_weights_is_chosen_on_the_selection_sample() -> None:
    # As for neurons: selecting sees the first wrapper only.
    found = pruning(Planted({1, 2}, {3, 4}), select=PT.batch([1, 2]), evaluate=PT.batch([1, 2, 3, 4]), ks=(1, 2))
    assert found.ks[found.best] == 1 and found.gain == pytest.approx(0.5, abs=0.2)
    assert found.pretraining[1] == 0.5 and found.pretraining[0] == 0.0


@both_ways
def test_the_model_given_is_not_changed(search: int) -> None:
    model = Planted(LOW, HIGH).train()
    before = copy.deepcopy(model.state_dict())
    pruning(model, search=search)
    searched(model, PT, sample(PT, 64, 0), units="weights", candidates=30, most=2)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert model.training


def test_without_a_number_to_choose_there_is_nothing_to_do() -> None:
    with pytest.raises(UsageError, match=r"numbers of weights to prune \(5, 9\): at least one must be between 1 and 4"):
        pruning(Planted(ALL), ks=(5, 9), most=4)
