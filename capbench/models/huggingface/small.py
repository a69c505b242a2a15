"""Small transformers models with random weights, one per family of architectures. No torch and no transformers."""

from __future__ import annotations

from typing import Any

from capbench.errors import UsageError
from capbench.models.huggingface.config import HuggingFaceConfig, settings

# No token is special: with transformers' defaults the embedding of a padding token is fixed at zero.
_NONE_SPECIAL = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}


def llama(
    *, vocab_size: int, seq_len: int, n_blocks: int, d_model: int, n_heads: int, tied: bool = False
) -> HuggingFaceConfig:
    """RMSNorm, rotary positions, gated MLPs of width 8/3 d_model (Touvron et al. 2023, arXiv 2302.13971)."""
    _heads(d_model, n_heads, multiple=2)
    own = {"num_attention_heads": n_heads, "intermediate_size": max(1, 8 * d_model // 3)}
    return _config("llama", own, vocab_size, seq_len, n_blocks, d_model, tied)


def gpt2(
    *, vocab_size: int, seq_len: int, n_blocks: int, d_model: int, n_heads: int, tied: bool = False
) -> HuggingFaceConfig:
    """LayerNorm, learned positions, MLPs of width 4 d_model (Radford et al. 2019)."""
    _heads(d_model, n_heads)
    return _config("gpt2", {"num_attention_heads": n_heads}, vocab_size, seq_len, n_blocks, d_model, tied)


def gpt_neox(
    *, vocab_size: int, seq_len: int, n_blocks: int, d_model: int, n_heads: int, tied: bool = False
) -> HuggingFaceConfig:
    """LayerNorm, rotary positions on a quarter of a head, attention and MLP in parallel (Black et al. 2022, arXiv 2204.06745)."""
    _heads(d_model, n_heads, multiple=8)
    own = {"num_attention_heads": n_heads, "intermediate_size": 4 * d_model}
    return _config("gpt_neox", own, vocab_size, seq_len, n_blocks, d_model, tied)


def mamba2(
    *,
    vocab_size: int,
    seq_len: int,
    n_blocks: int,
    d_model: int,
    n_heads: int,
    d_state: int = 16,
    chunk: int = 64,
    tied: bool = False,
) -> HuggingFaceConfig:
    """A selective state space without attention or MLPs, twice as wide as the stream (Dao and Gu 2024, arXiv 2405.21060).

    d_state: numbers kept per channel. chunk: tokens that are computed in parallel, if strings are as long; it changes no result.
    """
    _heads(d_model, n_heads)
    own = {
        **{"num_heads": n_heads, "head_dim": 2 * d_model // n_heads, "n_groups": 1, "expand": 2},
        **{"state_size": d_state, "chunk_size": min(chunk, seq_len)},
    }
    return _config("mamba2", own, vocab_size, seq_len, n_blocks, d_model, tied)


def recurrent_gemma(
    *, vocab_size: int, seq_len: int, n_blocks: int, d_model: int, n_heads: int, tied: bool = False
) -> HuggingFaceConfig:
    """Griffin: two blocks of a gated linear recurrence, then one of attention, and so on (De et al. 2024, arXiv 2402.19427)."""
    _heads(d_model, n_heads, multiple=4)
    own = {
        **{"num_attention_heads": n_heads, "intermediate_size": 6 * d_model},  # of which each MLP has half
        "attention_window_size": seq_len,
    }
    return _config("recurrent_gemma", own, vocab_size, seq_len, n_blocks, d_model, tied)


def _config(
    family: str, own: dict[str, Any], vocab_size: int, seq_len: int, n_blocks: int, d_model: int, tied: bool
) -> HuggingFaceConfig:
    return HuggingFaceConfig(
        family=family,
        vocab_size=vocab_size,
        seq_len=seq_len,
        n_blocks=n_blocks,
        d_model=d_model,
        tied=tied,
        settings=settings({**own, **_NONE_SPECIAL}),
    )


def _heads(d_model: int, n_heads: int, *, multiple: int = 1) -> None:
    """multiple: of which a head's width must be one, for rotary positions."""
    if n_heads < 1 or d_model % (n_heads * multiple):
        wide = f" of width {multiple}, {2 * multiple}, ..." if multiple > 1 else ""
        raise UsageError(f"d_model {d_model} must be a multiple of n_heads {n_heads}{wide and f', with heads{wide}'}")
