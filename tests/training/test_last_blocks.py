"""Only the last blocks train, and afterwards everything may train as before."""

from __future__ import annotations

import pytest
from torch import nn

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.training.last_blocks import only_the_last


class Without(Model):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)


def trained(model: Model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_last_blocks_alone_have_gradients_within() -> None:
    model = Gpt(GptConfig(vocab_size=5, seq_len=4, n_blocks=3, d_model=8, n_heads=2))
    model.token_embedding.requires_grad_(False)
    before = trained(model)
    with only_the_last(model, 2):
        assert trained(model) == {n for n, _ in model.named_parameters() if n.startswith(("blocks.1.", "blocks.2."))}
    assert trained(model) == before
    for blocks, there in ((9, {n for n, _ in model.named_parameters() if n.startswith("blocks.")}), (None, None)):
        with only_the_last(model, blocks):
            assert trained(model) == ({n for n, _ in model.named_parameters()} if there is None else there)
    with pytest.raises(ZeroDivisionError), only_the_last(model, 1):
        _ = 1 / 0
    assert trained(model) == before


def test_models_without_blocks_are_refused() -> None:
    with pytest.raises(UsageError, match="Without has no list of blocks"), only_the_last(Without(), 1):
        pass
    with pytest.raises(UsageError, match="the last 0 blocks: must be at least 1"), only_the_last(Without(), 0):
        pass
