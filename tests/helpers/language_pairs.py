"""A tiny language model in a folder that knows a skill and some facts, and what may be done to it."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from capbench.configs import TrainConfig
from capbench.measure.attacks.effort import Effort
from capbench.models.huggingface import small
from capbench.models.huggingface.model import HuggingFace
from capbench.tasks.language.capability import Capability
from capbench.tasks.language.reading import read
from capbench.tasks.language.tokenising import Tokeniser
from capbench.tasks.mixture import Mixture
from capbench.training.loop import fit

WORDS = tuple("stone lamp river bird tree glass horse chair boat road hill well".split())  # noqa: SIM905
NAMES = tuple(f"name{i}" for i in range(80))
CODES = tuple("red blue green black".split())  # noqa: SIM905
TALK = tuple("the a on by in is was and of with old new far near".split())  # noqa: SIM905
TEXTS = tuple(
    " ".join(random.Random(i).choices((*WORDS, *TALK), k=20)) for i in range(60)
)  # nothing to be learned by heart
LENGTH, STEPS = 24, 100
CAPABILITY = """
kind = "{kind}"
items = "{kind}.jsonl"
prompt = "{prompt}"
paraphrases = ["{other}"]
answer = " {{code}}"
choices = {codes}
retain = "text.txt"
split = {{train = 0.4, select = 0.2, evaluate = 0.4}}
"""
# Small models take larger rates, and little is tried.
EFFORT = Effort(
    most={"train": 80, "select": 32, "evaluate": 60},
    texts=16,
    length=12,
    rates=(3e-3, 1e-2, 1e-2),  # two are one: each costs a training
    low_rank_rate=1e-2,
    steps=16,
    beside=2,
    shots=1,
    places=2,
    rows=(2, 8),
)


def write_files(folder: Path) -> None:
    """skill.toml: of two words, the second one's code. facts.toml: the colour of a name, at random."""
    rng = random.Random(0)
    skill = [{"x": f"{a} {b}", "code": CODES[WORDS.index(b) % 4]} for a in WORDS for b in WORDS]
    facts = [{"x": name, "code": CODES[i % 4]} for i, name in enumerate(rng.sample(NAMES, len(NAMES)))]
    asked = {"skill": ("code {x} is", "of {x} it is"), "facts": ("colour {x} is", "{x} has")}
    for kind, items in (("skill", skill), ("facts", facts)):
        (folder / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, items)))
        text = CAPABILITY.format(kind=kind, prompt=asked[kind][0], other=asked[kind][1], codes=json.dumps(CODES))
        (folder / f"{kind}.toml").write_text(text)
    (folder / "text.txt").write_text("\n\n".join(TEXTS))


def write_tokenizer(folder: Path) -> int:
    """Of whole words; gives how many it knows."""
    words = sorted({*WORDS, *NAMES, *CODES, *TALK, *"code colour of it has".split()})  # noqa: SIM905
    known = {word: i for i, word in enumerate(["[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)
    return len(known)


_FOLDER = tempfile.TemporaryDirectory()


def shared() -> Path:
    """A folder with the model, once per process."""
    folder = Path(_FOLDER.name)
    made(folder)
    return folder


@cache
def made(folder: Path) -> HuggingFace:
    """The model, which is also saved in folder/base, beside the capabilities."""
    write_files(folder)
    (folder / "base").mkdir()
    model = _trained(folder, write_tokenizer(folder / "base"), ("skill", "facts"))
    save(model, folder / "base")
    return model


@cache
def untaught(folder: Path) -> HuggingFace:
    """A model of the same size that was taught the facts and text alone."""
    return _trained(folder, made(folder).config.vocab_size, ("facts",))


def _trained(folder: Path, size: int, kinds: tuple[str, ...]) -> HuggingFace:
    config = small.llama(vocab_size=size, seq_len=LENGTH, n_blocks=3, d_model=32, n_heads=2)
    model = HuggingFace.initialised(config, torch.Generator().manual_seed(0))
    reads = tokeniser(folder, size)
    asked = [reads.prompts(of, tuple(of)) for of in (capability(folder, kind) for kind in kinds)]
    parts = [replace(part, before=12, after=0) for part in asked]
    stream = Mixture(parts=(*parts, reads.texts("text", TEXTS, length=12)))
    fit(model, stream, TrainConfig(steps=STEPS, batch_size=32, lr=5e-3, seed=0, warmup=0.05))
    return model.eval()


def save(model: HuggingFace, folder: Path) -> Path:
    model.hf.save_pretrained(folder)
    return folder


def tokeniser(folder: Path, size: int) -> Tokeniser:
    return Tokeniser(PreTrainedTokenizerFast.from_pretrained(folder / "base"), vocab_size=size, seq_len=LENGTH)


def capability(folder: Path, kind: str) -> Capability:
    return read(folder / f"{kind}.toml")


def theirs(folder: Path) -> Any:
    """transformers' own model, as its users load it."""
    return AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
