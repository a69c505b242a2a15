"""Made-up stories in the format of TinyStories-Instruct, on disk: those of the project's own generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from capbench.tasks.stories import vocabulary
from capbench.tasks.stories.corpus.records import Record
from capbench.tasks.stories.drawing import PROMPT
from capbench.tasks.stories.features import FEATURES
from capbench.tasks.stories.task import StoryTask


def made_records(n: int, seed: int, *, twist: float = 0.5, unsaid: float = 0.1) -> list[Record]:
    """n records. twist: how many have one. unsaid: how many do not say their features."""
    rng = torch.Generator().manual_seed(seed)
    batch, told, _ = StoryTask(shares={"Twist": twist}).with_features(n, rng)
    silent = torch.rand(n, generator=rng) < unsaid
    found = []
    for tokens, has, quiet in zip(batch.tokens.tolist(), told.tolist(), silent.tolist(), strict=True):
        words = [word.split(":", 1)[1].strip() for word in vocabulary.decode(tokens[:PROMPT]).splitlines()[1:3]]
        features = None if quiet else frozenset(f for f, there in zip(FEATURES, has, strict=True) if there)
        fields = (("Words", ", ".join(words[0].split())), ("Summary", words[1]))
        found.append(Record(features=features, fields=fields, story=vocabulary.decode(tokens[PROMPT:])))
    return found


def write(folder: Path, train: Sequence[Record], valid: Sequence[Record]) -> Path:
    """A folder with both files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, records in (("train", train), ("valid", valid)):
        text = "".join(record.text for record in records)
        (folder / f"TinyStories-Instruct-{part}.txt").write_text(text, encoding="utf-8")
    return folder


def corpus(folder: Path, *, train: int = 400, valid: int = 120, twist: float = 0.5) -> Path:
    """A folder of made-up stories."""
    return write(folder, made_records(train, 0, twist=twist), made_records(valid, 1, twist=twist))
