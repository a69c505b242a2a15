"""What a transformers model is built from, as plain data without torch or transformers: what store keys are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capbench.configs import ModelConfig
from capbench.errors import UsageError

# What has a field of its own, under transformers' common names.
FIELDS = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "seq_len",
    "num_hidden_layers": "n_blocks",
    "hidden_size": "d_model",
    "tie_word_embeddings": "tied",
}


@dataclass(frozen=True, kw_only=True)
class HuggingFaceConfig(ModelConfig):
    """A causal language model of transformers.

    family: its model_type there, such as llama. d_model: width of the residual stream. tied: whether the unembedding is the
    embedding. settings: the other entries of its config.json, as JSON with sorted keys (see `settings`); those that are left out
    are transformers' defaults. Dropout is always off, and no setting. Whether the settings go together shows when it is built.
    """

    family: str  # not `model_type`: PEFT takes a model with that in its configuration for one of transformers itself
    d_model: int
    tied: bool = False
    settings: str = "{}"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "seq_len", "d_model"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)} must be at least 1")
        if self.n_blocks < 0:
            raise UsageError(f"n_blocks {self.n_blocks} must be at least 0")
        entries = self.entries()
        for name in entries.keys() & FIELDS.keys():
            raise UsageError(f"settings of a {self.family}: {name!r} has a field of its own, {FIELDS[name]}")
        if settings(entries) != self.settings:
            raise UsageError(f"settings {self.settings!r} must be JSON with sorted keys, as `settings` writes it")

    def entries(self) -> dict[str, Any]:
        """The settings by name."""
        try:
            found = json.loads(self.settings)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"settings {self.settings!r} must be a JSON object")
        return found


def settings(entries: Mapping[str, Any]) -> str:
    """The one text of these entries of a config.json."""
    return json.dumps(entries, sort_keys=True, separators=(",", ":"))
