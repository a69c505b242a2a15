"""Strings of unequal length in one batch: with padding on either side, or alone, a model answers the same."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hf_models import FAMILIES, SIZES, around, close, own, strings
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.models.huggingface.padding import PAD, padded

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
OWN = {family: own(family) for family in FAMILIES}
MODELS = {family: around(OWN[family], family) for family in FAMILIES}
RAGGED = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 0]]
every = pytest.mark.parametrize("family", FAMILIES)


def real(values: torch.Tensor, lengths: list[int], side: str) -> list[torch.Tensor]:
    """What each string has where no padding is. values: [batch, pos, ...]."""
    pairs = zip(values, lengths, strict=True)
    return [own[-n:] if side == "left" else own[:n] for own, n in pairs]


def test_padding_by_hand() -> None:
    assert padded([[1, 2, 3], [4]], side="left").tolist() == [[1, 2, 3], [PAD, PAD, 4]]
    assert padded([[1, 2, 3], [4]], side="right").tolist() == [[1, 2, 3], [4, PAD, PAD]]


@settings(max_examples=40)
@given(
    family=st.sampled_from(FAMILIES),
    side=st.sampled_from(SIDES),
    ragged=st.lists(
        st.lists(st.integers(0, SIZES["vocab_size"] - 1), min_size=1, max_size=SIZES["seq_len"]), min_size=1, max_size=4
    ),
)
def test_padding_changes_no_logits(family: str, side: Literal["left", "right"], ragged: list[list[int]]) -> None:
    model, lengths = MODELS[family], [len(string) for string in ragged]
    batch = padded(ragged, side=side)
    for found, string in zip(real(model(batch), lengths, side), ragged, strict=True):
        close(found, model(torch.tensor([string]))[0])
    if side == "left":
        answers = model.answer_logits(batch, batch.shape[1] - 1)
        for found, string in zip(answers, ragged, strict=True):
            close(found, model(torch.tensor([string]))[0, -1])


@every
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("position", [-1, 2, 6])
def test_the_answer_alone_is_that_of_the_pass_wherever_a_string_has_one(
    family: str, side: Literal["left", "right"], position: int
) -> None:
    batch = padded(RAGGED, side=side)
    has_one = batch[:, position] != PAD
    assert has_one.any()
    close(MODELS[family].answer_logits(batch, position)[has_one], MODELS[family](batch)[:, position][has_one])


@every
def test_the_stream_and_the_maps_are_those_of_the_strings_alone(family: str) -> None:
    model, lengths = MODELS[family], [len(string) for string in RAGGED]
    for side in SIDES:
        logits, (resid, attn) = model.run_with_cache(padded(RAGGED, side=side), attention=True)
        for i, string in enumerate(RAGGED):
            alone, (stream, maps) = model.run_with_cache(torch.tensor([string]), attention=True)
            close(real(logits, lengths, side)[i], alone[0])
            close(real(resid.transpose(0, 1).transpose(1, 2), lengths, side)[i], stream[:, 0].transpose(0, 1))
            assert (attn is None) == (maps is None)
            if attn is not None and maps is not None:
                where = slice(-lengths[i], None) if side == "left" else slice(lengths[i])
                close(attn[:, i, :, where, where], maps[:, 0])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "mamba2"])
@pytest.mark.parametrize("side", SIDES)
def test_as_transformers_with_its_masks(family: str, side: Literal["left", "right"]) -> None:
    batch = padded(RAGGED, side=side)
    mask = (batch != PAD).long()
    positions = {} if family == "mamba2" else {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    theirs = OWN[family](batch.clamp(min=0), attention_mask=mask, use_cache=False, **positions).logits
    close(MODELS[family](batch)[batch != PAD], theirs[batch != PAD])


def test_where_a_mask_does_not_keep_padding_out_ours_does() -> None:
    """RecurrentGemma's convolution reads what stands before a string: transformers answers otherwise with padding there."""
    batch = padded(RAGGED, side="left")
    mask = (batch != PAD).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    theirs = OWN["recurrent_gemma"](batch.clamp(min=0), attention_mask=mask, position_ids=positions, use_cache=False)
    alone = MODELS["recurrent_gemma"](torch.tensor([[4]]))[0, -1]
    assert (theirs.logits[1, -1] - alone).abs().max() > 1e-2
    close(MODELS["recurrent_gemma"](batch)[1, -1], alone)


def test_gradients_through_padding_are_those_of_the_strings_alone() -> None:
    model = MODELS["llama"]
    parameters = list(model.parameters())
    batch = padded(RAGGED, side="left")
    together = torch.autograd.grad(model.answer_logits(batch, -1).square().sum(), parameters)
    alone = sum(model.answer_logits(torch.tensor([string]), len(string) - 1).square().sum() for string in RAGGED)
    for found, expected in zip(together, torch.autograd.grad(alone, parameters), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("wrong", [[[1, PAD, 2]], [[PAD, PAD], [1, 2]], [[PAD, 1, PAD, 2]]])
def test_padding_that_is_none_is_refused(wrong: list[list[int]]) -> None:
    with pytest.raises(UsageError, match="before or after a string, and a string must have a token"):
        MODELS["llama"](torch.tensor(wrong))


@pytest.mark.parametrize("wrong", [[], [[]], [[1], []]])
def test_an_empty_string_cannot_be_padded(wrong: list[list[int]]) -> None:
    with pytest.raises(UsageError, match="at least one token"):
        padded(wrong, side="left")


def test_strings_without_padding_are_as_they_are() -> None:
    assert padded(strings().tolist(), side="left").equal(strings())
