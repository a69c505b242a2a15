"""What identifies a fine-tuning to do elsewhere: its task, its training and the tensors of its base model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from capbench.checkpoints.language import is_text
from capbench.configs import TrainConfig
from capbench.pipeline.steps import describe
from capbench.store.keys import key_of
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask

if TYPE_CHECKING:
    import torch

_LENGTH = 16  # hex digits


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """64 hex digits over names, dtypes, shapes and bytes: the same for the same weights, however they are stored."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def recipe(task: FineTuningTask, train: TrainConfig) -> str:
    """Hash of a task and a training, independent of the device."""
    return key_of({"task": describe(task), "train": describe(replace(train, device="cpu"))})[:_LENGTH]


def entry_id(recipe_: str, base_tensors: str) -> str:
    """The id of a fine-tuning: computable from what a method is given."""
    return key_of({"recipe": recipe_, "base": base_tensors})[:_LENGTH]


def stream_id(stream: Task, train: TrainConfig) -> str:
    """Hash of what the strings of a stream depend on; the learning rate, for example, does not count."""
    if is_text(stream):  # written whole, whatever is drawn from it
        return key_of({"stream": describe(stream)})[:_LENGTH]
    drawn = {"steps": train.steps, "batch_size": train.batch_size, "seed": train.seed}
    return key_of({"stream": describe(stream), **drawn})[:_LENGTH]
