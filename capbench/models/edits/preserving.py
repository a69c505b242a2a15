"""Rewrites that change the weights but not the function: the capability is intact by construction."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.models.gpt import Gpt


@torch.no_grad()
def permuted_neurons(model: Model, *, rng: torch.Generator) -> Model:
    """The hidden neurons of every MLP in another order."""
    model = copy.deepcopy(model)
    for block in _blocks(model):
        order = torch.randperm(block.mlp_in.out_features, generator=rng)
        for part in (block.mlp_in.weight, block.mlp_in.bias):
            part.copy_(part[order].clone())
        block.mlp_out.weight.copy_(block.mlp_out.weight[:, order].clone())
    return model


@torch.no_grad()
def scaled_pairs(model: Model, *, rng: torch.Generator, strength: float = 1.0) -> Model:
    """Scale each unit by exp(strength * N(0, 1)) where it is written, and inversely where it is read.

    Attention values against the output map in every model; MLP neurons too, if the activation is ReLU.
    """
    model = copy.deepcopy(model)
    for block in _blocks(model):
        value, out = _value_and_out(model, block)
        _scale(value, out, _factors(out.in_features, strength, rng))
        if not isinstance(model, Gpt) or model.config.activation == "relu":
            rows = block.mlp_in.weight, block.mlp_in.bias
            _scale(rows, block.mlp_out, _factors(block.mlp_out.in_features, strength, rng))
    return model


@torch.no_grad()
def rotated_residual_basis(model: Model, *, rng: torch.Generator) -> Model:
    """The residual stream in another orthonormal basis.

    Without normalisation (compiled models) any rotation is exact. LayerNorm subtracts the mean over the basis, so there the
    rotation fixes the all-ones direction, and the norms' weights move into the maps after them. Raises UsageError if a norm has
    a zero weight.
    """
    model = copy.deepcopy(model)
    if not isinstance(model, Gpt):
        return _rotated_without_norms(model, _rotation(_blocks(model)[0].mlp_in.in_features, rng))
    d = model.config.d_model
    q = _rotation_about_ones(d, rng)
    model.token_embedding.weight.copy_(model.token_embedding.weight @ q.T)
    model.position_embedding.weight.copy_(model.position_embedding.weight @ q.T)
    for block in _blocks(model):
        _rotate_reader(block.norm1, block.attn.qkv, q)
        _rotate_reader(block.norm2, block.mlp_in, q)
        for writer in (block.attn.out, block.mlp_out):
            writer.weight.copy_(q @ writer.weight)
            writer.bias.copy_(q @ writer.bias)
    _rotate_reader(model.norm, model.unembedding, q)
    return model


def _rotated_without_norms(model: Any, q: Tensor) -> Model:
    for embedding in (model.token_embedding, model.position_embedding):
        embedding.weight.copy_(embedding.weight @ q.T)
    for block in model.blocks:
        for reader in (block.query, block.key, block.value, block.mlp_in):
            reader.weight.copy_(reader.weight @ q.T)
        for writer in (block.out, block.mlp_out):
            writer.weight.copy_(q @ writer.weight)
            writer.bias.copy_(q @ writer.bias)
    model.unembedding.copy_(model.unembedding @ q.T)
    rotated: Model = model
    return rotated


def _rotate_reader(norm: nn.LayerNorm, reader: nn.Linear, q: Tensor) -> None:
    """W (g * h + b) = (W diag(g) q^T) (q h + q (b / g)), where q h is the norm's output in the new basis."""
    if bool((norm.weight == 0).any()):
        raise UsageError("a LayerNorm has a weight of 0: the model can be rotated only if none is 0")
    reader.weight.copy_((reader.weight * norm.weight) @ q.T)
    norm.bias.copy_(q @ (norm.bias / norm.weight))
    norm.weight.fill_(1.0)


def _rotation(d: int, rng: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64))
    rotation: Tensor = (q * r.diagonal().sign()).float()
    return rotation


def _rotation_about_ones(d: int, rng: torch.Generator) -> Tensor:
    """An orthogonal matrix that fixes the all-ones vector."""
    basis = torch.eye(d, dtype=torch.float64)
    basis[:, 0] = 1.0
    ones_first = torch.linalg.qr(basis).Q
    inner = torch.eye(d, dtype=torch.float64)
    inner[1:, 1:] = _rotation(d - 1, rng).double()
    rotation: Tensor = (ones_first @ inner @ ones_first.T).float()
    return rotation


def _value_and_out(model: Model, block: Any) -> tuple[tuple[Tensor, Tensor], nn.Linear]:
    if isinstance(model, Gpt):
        d = model.config.d_model
        return (block.attn.qkv.weight[2 * d :], block.attn.qkv.bias[2 * d :]), block.attn.out
    return (block.value.weight, block.value.bias), block.out


def _scale(rows: tuple[Tensor, Tensor], reader: nn.Linear, factors: Tensor) -> None:
    weight, bias = rows
    weight.mul_(factors[:, None])
    bias.mul_(factors)
    reader.weight.div_(factors)


def _factors(n: int, strength: float, rng: torch.Generator) -> Tensor:
    return (strength * torch.randn(n, generator=rng)).exp()


def _blocks(model: Any) -> list[Any]:
    return list(model.blocks)
