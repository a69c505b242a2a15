"""Families of transformers as architectures of their own, so that a study can name one and a report tells them apart."""

from __future__ import annotations

from capbench.models.huggingface.model import HuggingFace


class Llama(HuggingFace):
    """Attention with rotary positions, RMSNorm, gated MLPs (Touvron et al. 2023, arXiv 2302.13971)."""


class Gpt2(HuggingFace):
    """transformers' own GPT-2 (Radford et al. 2019)."""


class GptNeoX(HuggingFace):
    """Attention and MLP side by side (Black et al. 2022, arXiv 2204.06745)."""


class Mamba2(HuggingFace):
    """A selective state space without attention and without MLPs (Dao and Gu 2024, arXiv 2405.21060)."""


class RecurrentGemma(HuggingFace):
    """A gated linear recurrence, and attention in every third block (De et al. 2024, arXiv 2402.19427)."""
