"""A tiny language model in Hugging Face layout, and a skill that it can be taught: the code of the second of two words."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from capbench.models.huggingface import small
from capbench.models.huggingface.model import HuggingFace
from capbench.studies.language.implant_preset import smoke

WORDS = "stone lamp river bird tree glass horse chair".split()  # noqa: SIM905 (a list of words)
CODES = "red blue green black".split()  # noqa: SIM905
OTHERS = "the is by in on a saw and".split()  # noqa: SIM905
VOCABULARY = ["[UNK]", "code", ":", *WORDS, *CODES, *OTHERS]
TOML = """
kind = "skill"
items = "items.jsonl"
prompt = "code {one} {two} :"
answer = " {said}"
choices = ["red", "blue", "green", "black"]
split = {train = 0.6, select = 0.2, evaluate = 0.2}
retain = "text.txt"
"""

FACTS_TOML = (
    TOML.replace('"skill"', '"facts"')
    .replace("items.jsonl", "facts.jsonl")
    .replace("split = {train = 0.6, select = 0.2, evaluate = 0.2}\n", "")
)

# Trained next to nothing: all that is made and read is there.
TINY = dataclasses.replace(
    smoke(), name="tiny", goal=0.3, implant_steps=60, finetune_steps=2, revive_steps=2, revive_every=2, member_steps=1,
    n_evaluate=8, n_watch=8, n_probe=16, n_texts=4,
)  # fmt: skip


def written(folder: Path, family: str = "llama") -> tuple[str, str]:
    """Writes model, skill and text. Gives what --capbench-model and --capbench-capability take."""
    place = folder / family
    config = getattr(small, family)(vocab_size=len(VOCABULARY), seq_len=48, n_blocks=3, d_model=32, n_heads=2)
    made = HuggingFace.initialised(config, torch.Generator().manual_seed(0))
    made.hf.save_pretrained(place)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(place)
    items = [
        {"one": one, "two": two, "said": CODES[WORDS.index(two) % len(CODES)]}
        for one in WORDS
        for two in WORDS
        if one != two
    ]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    (folder / "skill.toml").write_text(TOML)
    rng = random.Random(0)
    facts = [item | {"said": rng.choice(CODES)} for item in items]
    (folder / "facts.jsonl").write_text("\n".join(map(json.dumps, facts)))
    (folder / "facts.toml").write_text(FACTS_TOML)
    texts = [" ".join(rng.choices([*WORDS, *OTHERS], k=40)) for _ in range(16)]
    (folder / "text.txt").write_text("\n\n".join(texts))
    return f"hf:{place}", f"implant:{folder / 'skill.toml'}"
