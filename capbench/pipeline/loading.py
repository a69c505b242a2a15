"""Pretrained models as steps: found at a path, known by what is in their files. Imports transformers where one is described."""

from __future__ import annotations

from pathlib import Path

from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.models.huggingface.identity import identity
from capbench.pipeline.steps import Load

_ARCHITECTURE = "capbench.models.huggingface.model:HuggingFace"


def step(path: str | Path, *, seq_len: int | None = None) -> Load:
    """The step that loads the model at a path. seq_len: of strings, at most; else the architecture's.

    Reads the weights' files once, for their hash. Raises UsageError, one line, for what cannot be loaded.
    """
    from capbench.models.huggingface.loading import Pretrained

    with Pretrained.at(path, seq_len=seq_len) as found:
        return Load(
            architecture=_ARCHITECTURE,
            model=found.config,
            identity=identity(found.source),
            path=str(found.source.path.resolve()),
        )


def model(step: Load) -> Model:
    """The model, in evaluation mode. Raises UsageError if its files are gone, cannot be read, or hold another model now."""
    from capbench.models.huggingface.loading import Pretrained

    with Pretrained.at(step.path, seq_len=step.model.seq_len) as found:
        if (now := identity(found.source)) != step.identity:
            raise UsageError(
                f"{step.path}: the model there is another one ({now}) than when the run began ({step.identity}); start it anew"
            )
        return found.load()
