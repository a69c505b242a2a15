"""Conditions under which a method tries to delete: those of a case of the suites on deletion, drawn as a variant. Plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from capbench.errors import UsageError

BASES = 3  # seeds of which the package has base models


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """A case of the deletion study (see study.py), and the seed of its models. What is as usual is in no case.

    Raises UsageError for a seed that has no base models of its own.
    """

    prior: str = "low"
    c_tr: float = 1  # a whole number, as in the suites: 1.0 has another key in the store
    lr: str = "medium"
    answers: str = ""
    rate: float = 1.0
    times: float = 1.0
    decay: float | None = None
    mixing: float = 0.0
    then: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed not in range(BASES):
            raise UsageError(f"seed {self.seed}: must be 0 to {BASES - 1}, of which there are base models")

    @property
    def id(self) -> str:
        """Eight characters that stand for all of it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def case(self) -> Mapping[str, Any]:
        """The parameters of a test on it."""
        usual = {"prior": self.prior, "c_tr": self.c_tr, "lr": self.lr}
        return usual | {name: value for name, value in self._unusual.items() if name not in (*usual, "seed")}

    @property
    def words(self) -> str:
        """What sets it apart from the paper's low prior at C_Tr 1 and the medium rate; 'the simplest' if nothing does."""
        told = (f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n, v in self._unusual.items())
        return ", ".join(told) or "the simplest"

    @property
    def _unusual(self) -> dict[str, Any]:
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, usual) in values.items() if value != usual}
