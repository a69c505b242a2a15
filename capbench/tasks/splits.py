"""Splits: a hash of its symbols assigns every string to training, selection or evaluation, whatever the seed."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from capbench.errors import UsageError

Split = Literal["train", "select", "evaluate"]
_MULTIPLIERS = np.random.default_rng(0x5EED).integers(1, 2**63, size=4096, dtype=np.uint64) | np.uint64(1)


def check_split(split: str) -> None:
    """Raises UsageError for an unknown split."""
    if split not in get_args(Split):
        raise UsageError(f"unknown split {split!r}; known: {', '.join(get_args(Split))}")


def share(split: Split, parts: int) -> float:
    """The share of all strings that is in a split: one part of `parts` to select, one to evaluate, the rest to train."""
    return (parts - 2 if split == "train" else 1) / parts


def in_split(strings: np.ndarray, split: Split, parts: int) -> np.ndarray:
    """Which of the strings are in a split: bool [n], for strings of symbols, integers [n, position <= 4096].

    parts: a power of two, at least 4, into which the hash divides all strings. Trailing symbols of -1 change nothing, so a
    string is in the same split however it is padded.
    """
    part = _hash(strings) >> np.uint64(65 - parts.bit_length())
    inside: np.ndarray = part < parts - 2 if split == "train" else part == parts - (2 if split == "select" else 1)
    return inside


def _hash(strings: np.ndarray) -> np.ndarray:
    """A multiplicative hash: uint64 [n]; use the high bits."""
    mixed = np.zeros(len(strings), dtype=np.uint64)
    for position in range(strings.shape[1]):  # column by column: numpy has no fast integer matrix product
        mixed += (strings[:, position].astype(np.uint64) + np.uint64(1)) * _MULTIPLIERS[position]
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    return mixed
