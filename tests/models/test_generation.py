"""Generation: kept keys and values change nothing, strings end where they end, drawing depends on its generator alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.configs import GptConfig
from capbench.errors import NoAnswerError, UsageError
from capbench.models.base import passes
from capbench.models.generation import caches, generate
from capbench.models.gpt import Gpt
from capbench.models.recurrent import Gru
from capbench.models.sizes import RecurrentConfig


def gpt(seed: int = 0, blocks: int = 2) -> Gpt:
    config = GptConfig(vocab_size=11, seq_len=16, n_blocks=blocks, d_model=12, n_heads=3)
    model = Gpt.initialised(config, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform
            parameter.mul_(8.0)
    return model.eval()


def prompts(n: int = 5, length: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(11, (n, length), generator=torch.Generator().manual_seed(seed))


def by_hand(model: torch.nn.Module, tokens: torch.Tensor, n: int) -> torch.Tensor:
    start = tokens.shape[1]
    for _ in range(n):
        tokens = torch.cat([tokens, model(tokens)[:, -1].argmax(-1, keepdim=True)], 1)
    return tokens[:, start:]


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 99), st.integers(0, 3), st.integers(1, 5), st.integers(1, 12))
def test_keys_and_values_that_are_kept_change_nothing(seed: int, blocks: int, length: int, n: int) -> None:
    model, given_ = gpt(seed, blocks), prompts(length=length, seed=seed)
    assert caches(model)
    with torch.no_grad():
        assert torch.equal(generate(model, given_, n), by_hand(model, given_, n))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 16), st.booleans())
def test_prompts_of_unequal_length_go_on_as_each_alone(seed: int, lengths: list[int], n: int, ends: bool) -> None:
    """Whatever stands after a prompt; up to the end of the context where strings have an end."""
    model, given_ = gpt(seed), prompts(len(lengths), max(lengths), seed)
    recurrent = Gru.initialised(
        RecurrentConfig(vocab_size=11, seq_len=16, n_blocks=1, d_model=12), torch.Generator().manual_seed(seed)
    )
    end = 0 if ends else None
    n = n if ends else min(n, 17 - max(lengths))
    for each in (model, recurrent.eval()):
        found = generate(each, given_, n, end=end, lengths=torch.tensor(lengths))
        assert found.shape == (len(lengths), n)
        for row, prompt, length in zip(found, given_, lengths, strict=True):
            room = min(n, 17 - length)
            alone = generate(each, prompt[None, :length], room, end=end)[0]
            assert row[:room].tolist() == alone.tolist() and row[room:].tolist() == [0] * (n - room)


def test_other_architectures_and_hooked_ones_run_from_the_start() -> None:
    config = RecurrentConfig(vocab_size=11, seq_len=16, n_blocks=1, d_model=12)
    gru = Gru.initialised(config, torch.Generator().manual_seed(0)).eval()
    hooked = gpt()
    hooked.blocks[0].register_forward_hook(lambda module, arguments, output: output * 0.5)
    for model in (gru, hooked):
        assert not caches(model)
        with torch.no_grad():
            assert torch.equal(generate(model, prompts(), 6), by_hand(model, prompts(), 6))
    assert not torch.equal(generate(hooked, prompts(), 6), generate(gpt(), prompts(), 6))


def test_a_cached_token_costs_one_position() -> None:
    seen: list[tuple[int, ...]] = []
    told = passes.set(lambda tokens: seen.append(tuple(tokens.shape)))
    generate(gpt(), prompts(), 4)
    passes.reset(told)
    assert seen == [(5, 4), (5, 1), (5, 1), (5, 1)]


def test_drawing_depends_on_its_generator_alone() -> None:
    def drawn(seed: int) -> torch.Tensor:
        return generate(gpt(), prompts(), 8, temperature=1.0, rng=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_follow_the_models_distribution() -> None:
    model, one = gpt(), prompts(1)
    found = generate(model, one.expand(4000, -1), 1, temperature=2.0, rng=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = (model(one)[0, -1] / 2.0).softmax(-1)
    assert torch.allclose(torch.bincount(found[:, 0], minlength=11) / 4000, expected, atol=0.03)


def test_a_string_ends_where_it_ends() -> None:
    free = generate(gpt(), prompts(), 10)
    end = int(free[0, 3])
    found = generate(gpt(), prompts(), 10, end=end)
    for row, plain in zip(found.tolist(), free.tolist(), strict=True):
        place = plain.index(end) if end in plain else 10
        assert row == plain[:place] + [end] * (10 - place)
    assert generate(gpt(), prompts()[:1], 10, end=int(free[0, 0])).tolist() == [[int(free[0, 0])] * 10]


def test_the_mode_of_the_model_is_as_before() -> None:
    model = gpt().train()
    generate(model, prompts(), 2)
    assert model.training


def test_what_cannot_be_is_refused() -> None:
    assert generate(gpt(), prompts(), 13).shape == (5, 13)
    with pytest.raises(UsageError, match="14 tokens after prompts of 4; this model takes at most 16, so 13"):
        generate(gpt(), prompts(), 14)
    with pytest.raises(UsageError, match="at least one token"):
        generate(gpt(), prompts(length=0), 1)
    with pytest.raises(UsageError, match="with rng to draw from"):
        generate(gpt(), prompts(), 1, temperature=1.0)
    with pytest.raises(UsageError, match=r"lengths of prompts \[0, 5, 4, 4, 4\]: must be from 1 to 4"):
        generate(gpt(), prompts(), 1, lengths=torch.tensor([0, 5, 4, 4, 4]))
    with pytest.raises(UsageError, match="14 tokens after prompts of 4"):  # without an end a string cannot be cut
        generate(gpt(), prompts(), 14, lengths=torch.tensor([1, 4, 4, 4, 4]))
    with pytest.raises(UsageError, match="temperature -1"):
        generate(gpt(), prompts(), 1, temperature=-1)
    broken = gpt()
    torch.nn.init.constant_(broken.norm.weight, float("nan"))
    with pytest.raises(NoAnswerError, match="NaN on 5 of 5"):
        generate(broken, prompts(), 1)
