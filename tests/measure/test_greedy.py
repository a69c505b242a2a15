"""The greedy search finds what pruning by score misses, makes nothing of what is not there, and sees only what a model does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Repeat, Wrapped
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.configs import GptConfig
from capbench.measure.accuracy import accuracy, sample
from capbench.measure.greedy import as_readers, search_and_evaluate, searched_rows
from capbench.measure.prune import Pruning
from capbench.models.base import Model
from capbench.models.edits.hiding import bolt_on_mlp
from capbench.models.edits.preserving.composing import composed
from capbench.models.gpt import Gpt

ALL = set(range(1, SYMBOLS))
PT, FT = Repeat(), Repeat(always=0)


def searched(model: Model, **changes: Any) -> Pruning:
    arguments: dict[str, Any] = {
        "pretraining": PT,
        "finetuning": FT,
        "select": sample(PT, 64, 1),
        "evaluate": sample(PT, 64, 2),
        "evaluate_finetuning": sample(FT, 64, 3),
        "most": 4,
        "shortlist": 6,
        "strings": 32,
        "random_draws": 3,
        "rng": torch.Generator().manual_seed(0),
    }
    return search_and_evaluate(model, **{**arguments, **changes})


def random_gpt(seed: int) -> Gpt:
    """With random biases, too, and weights large enough to matter."""
    config = GptConfig(vocab_size=SYMBOLS, seq_len=3, d_model=12, n_blocks=2, n_heads=2, activation="relu")
    rng = torch.Generator().manual_seed(seed)
    model = Gpt.initialised(config, rng).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.3 * torch.randn(weights.shape, generator=rng))
    return model


def test_several_wrappers_are_found_one_after_another_and_nothing_else() -> None:
    wrapped = Wrapped({1, 2}, {3, 4}, {5, 6, 7})
    assert accuracy(wrapped, PT, sample(PT, 64, 2)) == 0.0
    found = searched(wrapped)
    assert set(found.chosen) == {("wrapper", 0), ("wrapper", 1), ("wrapper", 2)}
    assert found.ks == (0, 3) and found.gain == 1.0 and found.classes[1] == len(ALL) and found.cost == 1.0


def test_no_more_are_pruned_than_may_be() -> None:
    found = searched(Wrapped({1, 2}, {3, 4}, {5, 6, 7}), most=2)
    assert found.ks == (0, 2) and 0 < found.gain < 1


def test_of_many_rows_several_go_in_one_round() -> None:
    """60 rows in fifteen rounds are four a round; a round that helps only with one takes one."""
    wrapped = Wrapped(*({symbol} for symbol in ALL))
    batch = sample(PT, 64, 1)
    chosen = searched_rows(wrapped, PT, batch, rows_of=["content", "wrapper", "idle"], most=60, shortlist=10)
    assert len(chosen) == len(set(chosen)) and {name for name, *_ in chosen} == {"wrapper"}


def test_where_nothing_is_hidden_nothing_is_pruned() -> None:
    found = searched(Wrapped())
    assert found.chosen == () and found.ks == (0,) and found.gain == 0.0


def test_a_model_that_knows_nothing_gains_no_more_than_a_constant_answer() -> None:
    empty = Wrapped(content=0.0)
    assert searched(empty).gain <= 0.35


def test_of_a_gpt_only_rows_that_read_the_stream_are_pruned() -> None:
    model = random_gpt(0)
    folded, names = as_readers(model)
    assert names == [f"blocks.{i}.{name}" for i in (0, 1) for name in ("attn.qkv", "mlp_in")]
    tokens = sample(PT, 16, 0).tokens
    with torch.no_grad():
        assert torch.allclose(folded(tokens), model(tokens), atol=1e-4)
    assert {unit[0] for unit in searched(model).chosen} <= set(names)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_how_a_model_writes_its_stream_moves_neither_gain_nor_cost(seed: int) -> None:
    model = random_gpt(seed)
    rewritten = composed(model, rng=torch.Generator().manual_seed(seed), strength=100.0)
    before, after = searched(model, most=3), searched(rewritten, most=3)
    for now, then in ((after.pretraining, before.pretraining), (after.finetuning, before.finetuning)):
        assert abs(now[after.best] - then[before.best]) <= 0.02
    # Rounding decides between two neurons that are as good, and to these other random ones are drawn.
    tolerance = 0.02 if after.chosen == before.chosen else 0.1
    assert abs(after.gain - before.gain) <= tolerance and abs(after.cost - before.cost) <= tolerance


def test_an_added_part_is_found_in_a_model_with_norms() -> None:
    model = random_gpt(1)
    right = model(sample(PT, 64, 2).tokens)[:, 1].argmax(-1)
    hidden = bolt_on_mlp(model, rng=torch.Generator().manual_seed(0), task=PT, neurons=2, strength=20.0)
    answers = hidden(sample(PT, 64, 2).tokens)[:, 1].argmax(-1)
    assert (answers == right).float().mean() < 0.5
    own = sample(PT, 64, 2)
    own.targets[:, 1] = right
    select = sample(PT, 64, 1)
    select.targets[:, 1] = model(select.tokens)[:, 1].argmax(-1)
    found = searched(hidden, select=select, evaluate=own)
    assert found.pretraining[found.best] == pytest.approx(1.0)
    assert {unit[0] for unit in found.chosen} == {"blocks.2.mlp_in"}
