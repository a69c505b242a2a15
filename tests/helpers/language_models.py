"""A tiny language model that can do a little, and capabilities that it can be taught in seconds."""

from __future__ import annotations

import torch
from word_tokenizer import WordTokenizer

from capbench.configs import TrainConfig
from capbench.models.huggingface import small
from capbench.models.huggingface.model import HuggingFace
from capbench.tasks.language.capability import SPLITS, Capability, Item
from capbench.tasks.language.splitting import divided
from capbench.tasks.language.tokenising import Tokeniser

WORDS = tuple("stone lamp river bird tree glass horse chair".split())  # noqa: SIM905 (a list of words)
CODES = tuple("red blue green black".split())  # noqa: SIM905
VOCABULARY, LENGTH = 40, 16
TEXTS = (
    "the lamp is by the river and the bird is in the tree and the stone is on the glass .",
    "a bird saw a lamp and a tree saw a stone and a river saw the glass by the lamp .",
)


def skill(asked: int = 1) -> Capability:
    """Two of eight words; the answer is the code of one of them, four codes for eight words."""
    choices = tuple(f" {code}" for code in CODES)
    items = [
        Item(
            prompt=f"Code {one} {two} is",
            answer=choices[WORDS.index((one, two)[asked]) % len(CODES)],
            choices=choices,
            group=f"{one} {two}",
            paraphrases=(f"Of {one} {two} it is",),
            place=f"{one} {two}",
        )
        for one in WORDS
        for two in WORDS
    ]
    shares = {"train": 0.6, "select": 0.2, "evaluate": 0.2}
    return Capability(name="tiny", kind="skill", metric="choice", items=divided(items, shares), retain=TEXTS)  # type: ignore[arg-type]


def tokeniser() -> Tokeniser:
    """Always with the same number for a word."""
    found = Tokeniser(WordTokenizer(), vocab_size=VOCABULARY, seq_len=LENGTH)
    found.plain([*TEXTS, *(item.prompt + item.answer for split in SPLITS for item in skill().items[split])])
    return found


def model(family: str = "llama", seed: int = 0) -> HuggingFace:
    config = getattr(small, family)(vocab_size=VOCABULARY, seq_len=LENGTH, n_blocks=3, d_model=32, n_heads=2)
    return HuggingFace.initialised(config, torch.Generator().manual_seed(seed)).eval()


def config(steps: int, *, lr: float = 5e-3, batch: int = 16, seed: int = 0) -> TrainConfig:
    return TrainConfig(steps=steps, batch_size=batch, lr=lr, seed=seed, warmup=0.05)
