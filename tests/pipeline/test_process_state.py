"""Each part of a process's state that code can change is seen and put back."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from capbench.models.gpt import Gpt
from capbench.pipeline.process_state import ProcessState, standard, unharmed

SETTINGS: dict[str, Callable[[], Any]] = {
    "torch.set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.set_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.set_default_device": lambda: torch.set_default_device("meta"),
    "torch.set_flush_denormal": lambda: torch.set_flush_denormal(True),
    "torch.use_deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "torch.set_float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.autograd.set_detect_anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "torch.set_autocast_enabled('cpu')": lambda: torch.set_autocast_enabled("cpu", True),
    "torch.set_autocast_enabled('cuda')": lambda: torch.set_autocast_dtype("cuda", torch.bfloat16),
    "torch.backends.mkldnn.enabled": lambda: torch._C._set_mkldnn_enabled(False),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.backends.cuda.enable_flash_sdp": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "numpy.seterr": lambda: np.seterr(all="raise"),
    "os.chdir": lambda: os.chdir("/"),
    "os.environ": lambda: os.environ.update(CAPBENCH_TEST_OF_STATE="1"),
    "sys.setrecursionlimit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
}
HOOKS: dict[str, Callable[[], Any]] = {
    "_global_forward_hooks": lambda: torch.nn.modules.module.register_module_forward_hook(lambda *_: None),
    "_global_forward_pre_hooks": lambda: torch.nn.modules.module.register_module_forward_pre_hook(lambda *_: None),
    "_global_backward_hooks": lambda: torch.nn.modules.module.register_module_full_backward_hook(lambda *_: None),
    "_global_parameter_registration_hooks": lambda: torch.nn.modules.module.register_module_parameter_registration_hook(
        lambda *_: None
    ),
    "_global_optimizer_pre_hooks": lambda: register_optimizer_step_pre_hook(lambda *_: None),
}
PATCHES: dict[str, Callable[[], Any]] = {
    "capbench.models.gpt.Gpt.forward": lambda: setattr(Gpt, "forward", lambda self, tokens: tokens),
    "capbench.models.gpt.Gpt.new": lambda: setattr(Gpt, "new", lambda self: 1),
    "capbench.models.gpt.Gpt.answer_logits": lambda: delattr(Gpt, "answer_logits"),
    "torch.nn.modules.module.Module.__call__": lambda: setattr(torch.nn.Module, "__call__", lambda *a: 0),
    "torch.nn.functional.cross_entropy": lambda: setattr(torch.nn.functional, "cross_entropy", lambda *a, **k: 0),
    "torch.matmul": lambda: setattr(torch, "matmul", torch.add),
    "torch.optim.adamw.AdamW.zero_grad": lambda: setattr(torch.optim.AdamW, "zero_grad", lambda self: None),
    "random.shuffle": lambda: setattr(random, "shuffle", lambda x: None),
}
GENERATORS: dict[str, Callable[[], Any]] = {
    "random": random.random,
    "numpy.random": np.random.rand,
    "torch": lambda: torch.rand(1),
}
CHANGES = [
    (part, name, change)
    for part, table in (("settings", SETTINGS), ("hooks", HOOKS), ("patches", PATCHES), ("generators", GENERATORS))
    for name, change in table.items()
]


@pytest.mark.slow
@pytest.mark.parametrize("part, name, change", CHANGES, ids=[name for _, name, _ in CHANGES])
def test_a_change_is_named_and_undone(part: str, name: str, change: Callable[[], Any]) -> None:
    with unharmed() as before:
        change()
        try:
            found = {p: getattr(before, p).changed() for p in ("patches", "hooks", "settings", "generators")}
        finally:
            before.restore()
    assert name in found[part] and not [p for p in found if p != part and found[p]]
    assert set(found[part]) <= {name, "os.environ"}  # torch sets a variable for deterministic algorithms
    now = ProcessState()
    assert not any(getattr(before, p).changed() for p in found) and not now.settings.changed()


def test_what_torch_changes_of_itself_is_no_patch() -> None:
    """It wraps the step of an optimizer when one is first used."""
    with unharmed() as before:
        optimizer = torch.optim.NAdam([torch.nn.Parameter(torch.ones(1))])
        optimizer.step()
        assert before.patches.changed() == []


def test_in_a_standard_block_nothing_of_what_was_left_counts(tmp_path: Path) -> None:
    with unharmed():
        for name, change in SETTINGS.items():
            if name.startswith("torch.set") or name.startswith("torch.use"):
                change()
        torch.nn.modules.module.register_module_forward_hook(lambda *_: 1 / 0)
        left = ProcessState()
        with standard():
            assert torch.nn.Linear(2, 2)(torch.ones(2)).requires_grad and torch.ones(1).dtype == torch.float32
            assert torch.ones(1).device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        assert left.settings.changed() == left.hooks.changed() == []
