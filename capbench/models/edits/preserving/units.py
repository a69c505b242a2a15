"""Rewrites within a block: neurons and heads in another order, units scaled where they are written and where they are read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from capbench.models.edits.preserving.parts import Rows, blocks, factors, has_heads, heads, in_double, is_relu, readers


@in_double
def permuted_neurons(model: Any, *, rng: torch.Generator) -> None:
    """The hidden neurons of every MLP in another order."""
    for block in blocks(model):
        order = torch.randperm(block.mlp_in.out_features, generator=rng)
        _reorder(Rows(block.mlp_in.weight, block.mlp_in.bias), block.mlp_out.weight, order)


@in_double
def permuted_heads(model: Any, *, rng: torch.Generator) -> None:
    """The heads of every attention in another order. A model without attention stays as it is."""
    for block in blocks(model) if has_heads(model) else ():
        of = heads(model, block)
        order = torch.randperm(of.n_heads, generator=rng)
        columns = torch.arange(of.out.in_features).view(of.n_heads, -1)[order].flatten()
        for rows in (of.query, of.key):
            _reorder(rows, None, columns)
        _reorder(of.value, of.out.weight, columns)


@in_double
def scaled_pairs(model: Any, *, rng: torch.Generator, strength: float = 3.0) -> None:
    """Scale each unit where it is written, and inversely where it is read.

    Attention values against the output map; queries against keys; LayerNorms with weights against what reads them; MLP neurons
    against their outputs, if the activation is ReLU.
    """
    for block in blocks(model):
        if has_heads(model):
            of = heads(model, block)
            _scale(of.value, of.out.weight, factors(of.out.in_features, strength, rng))
            f = factors(len(of.query.bias), strength, rng)
            for rows, by in ((of.query, f), (of.key, 1 / f)):
                rows.weight.mul_(by[:, None])
                rows.bias.mul_(by)
        if is_relu(model):
            rows = Rows(block.mlp_in.weight, block.mlp_in.bias)
            _scale(rows, block.mlp_out.weight, factors(block.mlp_out.in_features, strength, rng))
    for reader in readers(model):
        if (norm := reader.weighted) is not None:
            by = factors(reader.weight.shape[1], strength, rng)
            _scale(Rows(norm.weight[:, None], norm.bias), reader.weight, by)


def _reorder(rows: Rows, columns: Tensor | None, order: Tensor) -> None:
    for part in rows:
        part.copy_(part[order].clone())
    if columns is not None:
        columns.copy_(columns[:, order].clone())


def _scale(rows: Rows, columns: Tensor, by: Tensor) -> None:
    rows.weight.mul_(by[:, None])
    rows.bias.mul_(by)
    columns.div_(by)
