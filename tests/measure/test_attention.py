"""Attention: mass and distance worked out by hand, and a compiled Counter that looks at what it counts."""

from __future__ import annotations

import pytest
import torch
from hand_made import Linear
from tiny_tracr import COUNT_A, COUNT_B
from torch import Tensor

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.measure.attention import attention_maps, attention_mass, map_distance
from capbench.models.gpt import Gpt
from capbench.pipeline.build import load_model
from capbench.store.store import Store
from capbench.tasks.tracr.tasks import CounterTask

# [layer 2, batch 2, head 2, query 2, key 3]
MAPS = torch.tensor(
    [
        [
            [[[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]],
            [[[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]],
        ],
        [
            [[[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]], [[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]],
            [[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]],
        ],
    ]
)


@pytest.mark.parametrize(
    "position, on, mass",
    [
        (1, [[0, 1, 0], [0, 1, 0]], [(0.25 + 1 + 0.3 + 0) / 4, (0.5 + 0.5 + 0 + 0) / 4]),
        (1, [[0, 1, 1], [0, 0, 1]], [(0.5 + 1 + 0.5 + 1) / 4, (1 + 1 + 0 + 0) / 4]),  # other keys in every string
        (0, [[1, 0, 0], [1, 0, 0]], [1, 0]),
        (0, [[0, 0, 0], [0, 0, 1]], [0, 1 / 4]),
        (1, [[0, 0, 0], [0, 0, 0]], [0, 0]),
        (1, [[1, 1, 1], [1, 1, 1]], [1, 1]),
    ],
)
def test_mass_is_summed_over_keys_and_averaged_over_strings_and_heads(
    position: int, on: list[list[int]], mass: list[float]
) -> None:
    assert attention_mass(MAPS, position, torch.tensor(on).bool()).tolist() == pytest.approx(mass)


@pytest.mark.parametrize(
    "queries, distance",
    [
        # Total variation by string, query and head, of block 0 and block 1:
        # string 0, query 0: 1 and 1; query 1: .5 and .5; string 1, query 0: 1 and 1; query 1: .8 and 1.
        ([[1, 0], [0, 0]], 1.0),
        ([[0, 1], [0, 0]], 0.5),
        ([[0, 0], [0, 1]], 0.9),
        ([[0, 1], [0, 1]], 0.7),
        ([[1, 1], [1, 1]], (1 + 0.5 + 1 + 0.9) / 4),
    ],
)
def test_distance_is_the_mean_total_variation_of_the_queries_marked(queries: list[list[int]], distance: float) -> None:
    marked = torch.tensor(queries).bool()
    assert map_distance(MAPS[0], MAPS[1], marked) == pytest.approx(distance)
    assert map_distance(MAPS[1], MAPS[0], marked) == pytest.approx(distance)
    assert map_distance(MAPS[0], MAPS[0], marked) == 0.0


def gpt() -> Gpt:
    config = GptConfig(vocab_size=5, seq_len=4, d_model=8, n_blocks=2, n_heads=2)
    return Gpt.initialised(config, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("training", [True, False])
def test_maps_of_many_strings_are_those_of_each_and_the_model_keeps_its_mode(training: bool) -> None:
    model = gpt().train(training)
    tokens = torch.randint(5, (7, 4), generator=torch.Generator().manual_seed(0))
    maps = attention_maps(model, tokens, batch_size=3)
    assert maps.shape == (2, 7, 2, 4, 4) and not maps.requires_grad
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 7, 2, 4))
    torch.testing.assert_close(maps, torch.cat([attention_maps(model, row[None]) for row in tokens], 1))
    assert model.training is training


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(UsageError, match="Linear has no attention maps"):
        attention_maps(Linear(torch.eye(3)), torch.zeros(2, 3, dtype=torch.long))


# ---- controls on compiled models

TASK = CounterTask(alphabet="abcd", min_content=4, max_content=4, operand="a")


def mass(model: torch.nn.Module, strings: list[str], letters: str, *, block: int = 1) -> float:
    tokens = torch.tensor([TASK.encode(string) for string in strings])
    on: Tensor = torch.isin(tokens, torch.tensor([TASK.vocabulary.index(letter) for letter in letters]))
    found = attention_mass(attention_maps(model, tokens), TASK.answer_pos, on)  # type: ignore[arg-type]
    return float(found[block])


def test_a_compiled_counter_looks_at_its_letter_and_at_bos(compiled: Store) -> None:
    counts_a, counts_b = load_model(COUNT_A, compiled), load_model(COUNT_B, compiled)
    strings = ["abcd", "aabd", "bacb", "dbaa", "ccab"]  # all have both
    assert mass(counts_a, strings, "a$") == pytest.approx(1.0, abs=1e-4)
    assert mass(counts_a, strings, "b") == pytest.approx(0.0, abs=1e-4)
    assert mass(counts_b, strings, "b$") == pytest.approx(1.0, abs=1e-4)
    assert mass(counts_b, strings, "a") == pytest.approx(0.0, abs=1e-4)
    assert 0.4 < mass(counts_a, strings, "a") < 0.8  # BOS and every 'a' share equally: 1/2 and 2/3 of these strings


@pytest.mark.parametrize("string, share", [("bcdb", 0), ("abcd", 1 / 2), ("baca", 2 / 3), ("aaba", 3 / 4)])
def test_each_letter_counted_takes_the_share_of_one(compiled: Store, string: str, share: float) -> None:
    assert mass(load_model(COUNT_A, compiled), [string], "a") == pytest.approx(share, abs=1e-4)
