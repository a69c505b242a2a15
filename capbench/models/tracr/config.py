"""A compiled RASP program without its weights: sizes, tokens, residual labels, outputs. Plain data, no torch."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any

Value = Hashable  # a RASP program's inputs and outputs: str, int, float, bool, None, or a tuple of those


@dataclass(frozen=True, kw_only=True)
class TracrConfig:
    """Sizes and codes of a compiled program.

    vocabulary: input tokens by id, including BOS and PAD. outputs: answers by class, or None if the program's output is
    numerical. max_seq_len: positions, including BOS. residual_labels: one per dimension of the residual stream.
    """

    program: str
    vocabulary: tuple[Value, ...]
    bos: Value
    pad: Value
    max_seq_len: int
    causal: bool
    n_blocks: int
    n_heads: int
    key_size: int
    mlp_size: int
    residual_labels: tuple[str, ...]
    outputs: tuple[Value, ...] | None

    @property
    def d_model(self) -> int:
        return len(self.residual_labels)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; tokens and outputs as Python literals, since 1, 1.0, True and '1' are different tokens."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: repr(v) if k in _LITERALS else list(v) if isinstance(v, tuple) else v for k, v in raw.items()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TracrConfig:
        """The inverse of `to_json`."""
        values = {k: ast.literal_eval(v) if k in _LITERALS else v for k, v in raw.items()}
        return cls(**{**values, "residual_labels": tuple(raw["residual_labels"])})


_LITERALS = ("vocabulary", "bos", "pad", "outputs")
