"""A model as transformers itself would save it: for trainers that know nothing of capbench. Imports transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from capbench.models.huggingface import parts
from capbench.models.huggingface.loading import quiet
from capbench.models.huggingface.model import HuggingFace


def publish(model: HuggingFace, folder: Path, *, tokenizer: Any = None) -> None:
    """Write config.json and model.safetensors, under transformers' names and shapes, and the tokenizer's files, if any.

    `loading.load` of the folder gives the same model.
    """
    theirs = parts.empty(model.config)
    turned = {f"{name}.weight" for name, module in theirs.named_modules() if isinstance(module, Conv1D)}
    with torch.no_grad():
        own = model.hf.state_dict()
        for name, tensor in theirs.state_dict().items():
            tensor.copy_(own[name].T if name in turned else own[name])
    with parts.leaving_torch_alone(), quiet():
        theirs.save_pretrained(folder, max_shard_size="1000GB")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # else only the owner can read the weights
