"""Models of the same size as others build them: a plain GPT on torch's fused attention, and TransformerLens' hooked one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.configs import GptConfig
from speed.steps import Setup


class PlainGpt(nn.Module):
    """A GPT as small repositories write it (minGPT, nanoGPT): modules of torch, fused attention, no tricks."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.seq_len, config.d_model)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.d_model)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.unembedding(self.norm(x))
        return logits


class _Block(nn.Module):
    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        d = config.d_model
        self.heads = config.n_heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        batch, pos, d = x.shape
        q, k, v = (
            part.view(batch, pos, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(d, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, pos, d))
        added: Tensor = x + self.mlp(self.norm2(x))
        return added


def plain_training(setup: Setup) -> Callable[[], None]:
    """Steps of the plain GPT on the strings and with the configuration of `setup`; the loss is that of all tokens."""
    train, size = setup.train, setup.train.batch_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PlainGpt(setup.model).to(train.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=train.lr, betas=train.betas, weight_decay=train.weight_decay)
    tokens = setup.task.batch.tokens.to(train.device).split(size)
    targets = setup.task.batch.targets.to(train.device).split(size)

    def work() -> None:
        for i in range(train.steps):
            logits = model(tokens[i % len(tokens)])
            loss = F.cross_entropy(logits.flatten(0, 1), targets[i % len(tokens)].flatten(), ignore_index=-1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), train.grad_clip)
            optimizer.step()
            loss.item()

    return work


def hooked(config: GptConfig) -> Any:
    """TransformerLens' model of this size, on a CPU. Raises ImportError where it is not installed."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    sizes = HookedTransformerConfig(
        n_layers=config.n_blocks,
        d_model=config.d_model,
        n_ctx=config.seq_len,
        d_head=config.d_model // config.n_heads,
        n_heads=config.n_heads,
        d_vocab=config.vocab_size,
        act_fn=config.activation,
        normalization_type="LN",
        default_prepend_bos=False,
        device="cpu",
        seed=0,
    )
    return HookedTransformer(sizes).eval()
