"""Impossible sizes are refused in one line that quotes the value; nothing here needs torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from architectures import ARCHITECTURES, SIZES

from capbench.errors import UsageError

HEADS = ["state space", "linear attention"]
WRONG: list[tuple[list[str], dict[str, Any], str]] = [
    (list(ARCHITECTURES), {"activation": "tanh"}, "unknown activation 'tanh'; known: gelu, relu"),
    (list(ARCHITECTURES), {"d_model": 0}, "d_model 0 must be at least 1"),
    (HEADS, {"n_heads": 3}, "d_model 8 must be a multiple of n_heads 3"),
    (HEADS, {"n_heads": 0}, "n_heads 0 must be at least 1"),
    (HEADS, {"chunk": 0}, "chunk 0 must be at least 1"),
    (["state space"], {"d_state": 0}, "d_state 0 must be at least 1"),
    (["state space"], {"kernel": 0}, "kernel 0 must be at least 1"),
    (["convolution"], {"kernel": 0}, "kernel 0 must be at least 1"),
    (
        ["convolution"],
        {"kernel": 2},
        "kernel 2 with n_blocks 2: the last token sees 4 of seq_len 9; kernel must be at least 3",
    ),
    (["convolution"], {"n_blocks": 0}, "the last token sees 1 of seq_len 9; there must be blocks"),
]


@pytest.mark.parametrize("which, wrong, line", [(w, wrong, line) for of, wrong, line in WRONG for w in of])
def test_impossible_sizes_are_refused_with_the_value(which: str, wrong: dict[str, Any], line: str) -> None:
    _, config, own = ARCHITECTURES[which]
    config(**SIZES, **own)
    with pytest.raises(UsageError) as refused:
        config(**{**SIZES, **own, **wrong})
    assert str(refused.value).endswith(line) and "\n" not in str(refused.value)


def test_they_are_read_without_torch() -> None:
    code = "import sys, capbench.models.sizes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
