"""Quantisation as an attack: rounding weights can undo a change that was small (Zhang et al. 2024, arXiv 2410.16454)."""

from __future__ import annotations

import copy

import torch

from capbench.models.base import Model


@torch.no_grad()
def quantised(model: Model, *, bits: int) -> Model:
    """A copy in which every matrix is rounded to the nearest of 2^bits - 1 evenly spaced values, row by row.

    A row's values reach from minus to plus its largest weight by magnitude; 0 is among them. Vectors stay as they are. Raises
    ValueError for fewer than 2 bits.
    """
    if bits < 2:
        raise ValueError(f"{bits} bits: must be at least 2, as a sign and zero take that many")
    found = copy.deepcopy(model)
    for weight in (parameter for parameter in found.parameters() if parameter.dim() >= 2):
        step = weight.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
        rounded = (weight / step).round() * step
        weight.copy_(torch.where(step > 0, rounded, weight))
    return found
