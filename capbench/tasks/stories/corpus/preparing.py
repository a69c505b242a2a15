"""Stories as tokens on disk, made once: a vocabulary, and for each part tokens, where each record begins, and its features.

Files are read record by record, so that memory is bounded whatever their size. The line of features is not among the tokens: it
is written when a record is drawn, as protocols change it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.stories.corpus.files import Files, lines
from capbench.tasks.stories.corpus.records import Record, records
from capbench.tasks.stories.corpus.tokenising import END, Tokens, trained
from capbench.tasks.stories.features import FEATURES

TOKENIZER, COUNTS = "tokenizer.json", "counts.json"
PARTS = ("train", "valid")
SAID = 1 << len(FEATURES)  # the bit of a record whose block says which features it has; the bits below are those
_TO_LEARN = 100_000  # records that the vocabulary is made from
_TOGETHER = 512  # records that are encoded at once
_WRONG_AT_MOST = 0.01  # of the records of a file


@dataclass(kw_only=True)
class Counts:
    """What was found in a part. records: that are kept. tokens: of them, without lines of features.

    said: whose block says which features there are; features: how many of those have each. wrong, long, repeated: records that
    were dropped, as they are none, are longer than the context, or (of the valid part) tell a story that was there before;
    first_wrong: the first such, in words. longest_story: in tokens.
    """

    records: int = 0
    tokens: int = 0
    said: int = 0
    features: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FEATURES, 0))
    wrong: int = 0
    first_wrong: str = ""
    long: int = 0
    repeated: int = 0
    longest: int = 0
    longest_story: int = 0

    @classmethod
    def read(cls, folder: Path) -> dict[str, Counts]:
        """Those of each part of a prepared folder."""
        found = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
        return {part: cls(**found[part]) for part in PARTS}


def prepare(files: Files, folder: Path, *, vocab_size: int, seq_len: int) -> None:
    """Write the stories of two files into an empty folder. seq_len: records that are longer, in tokens, are dropped.

    Raises UsageError, one line, for what is no such file, and where most records are dropped.
    """
    vocabulary = trained(_texts(files.train), vocab_size)
    vocabulary.save(str(folder / TOKENIZER))
    tokens = Tokens(vocabulary)
    held_out = {_digest(record.story) for record in _right(files.valid)}
    leaked: set[bytes] = set()
    train = Counts()
    _write(_noting(_all(files.train, train), held_out, leaked), folder, "train", tokens, train, seq_len)
    valid = Counts()
    _write(_new(_all(files.valid, valid), leaked, valid), folder, "valid", tokens, valid, seq_len)
    for file, counts in ((files.train, train), (files.valid, valid)):
        _check(file, counts, seq_len, len(tokens))
    text = json.dumps({"train": asdict(train), "valid": asdict(valid)}, indent=1)
    (folder / COUNTS).write_text(text, encoding="utf-8")


def _texts(file: Path) -> Iterator[str]:
    """What the vocabulary is made from: blocks, lines of features and stories."""
    for record in itertools.islice(_right(file), _TO_LEARN):
        yield f"Features: {', '.join(FEATURES)}\n{record.block}Story:\n{record.story}"


def _right(file: Path) -> Iterator[Record]:
    return (record for record in records(lines(file)) if not record.wrong)


def _all(file: Path, counts: Counts) -> Iterator[Record]:
    """The records that are right; the others are counted. Raises UsageError where there are too many of these."""
    seen = 0
    for record in records(lines(file)):
        seen += 1
        if not record.wrong:
            yield record
            continue
        counts.wrong += 1
        counts.first_wrong = counts.first_wrong or f"the record in line {record.line}: {record.wrong}"
    if not seen or counts.wrong > max(1.0, _WRONG_AT_MOST * seen) or counts.wrong == seen:
        first = counts.first_wrong or "it is blank"
        of = f"{counts.wrong} of {seen} records are not in the format of TinyStories-Instruct" if seen else "no record"
        raise UsageError(f"{file}: {of}; {first}")


def _noting(found: Iterator[Record], held_out: set[bytes], leaked: set[bytes]) -> Iterator[Record]:
    """The same records; held-out stories among them are noted."""
    for record in found:
        if (digest := _digest(record.story)) in held_out:
            leaked.add(digest)
        yield record


def _new(found: Iterator[Record], known: set[bytes], counts: Counts) -> Iterator[Record]:
    """Those whose story is not known, each story once; the others are counted."""
    for record in found:
        if (digest := _digest(record.story)) in known:
            counts.repeated += 1
            continue
        known.add(digest)
        yield record


def _digest(story: str) -> bytes:
    """Of a story whatever its case and spaces."""
    return hashlib.blake2b(" ".join(story.lower().split()).encode(), digest_size=12).digest()


def _write(found: Iterator[Record], folder: Path, part: str, tokens: Tokens, counts: Counts, seq_len: int) -> None:
    """Tokens, ends and features of the records that are short enough, into files of the part."""
    features = bytearray()
    ends = array("q", [0])  # of the block and of the story of each record, one after the other
    longest_line = len(tokens.line.of(range(len(FEATURES))))  # a protocol may ask for all of them
    with (folder / f"{part}.tokens").open("wb") as file:
        while together := list(itertools.islice(found, _TOGETHER)):
            blocks = tokens.encode([record.block for record in together])
            stories = tokens.encode([record.story for record in together])
            for record, block, story in zip(together, blocks, stories, strict=True):
                length = longest_line + len(block) + len(tokens.story) + len(story) + 1
                if length > seq_len:
                    counts.long += 1
                    continue
                _append(file, [*block, *tokens.story], ends)
                _append(file, [*story, END], ends)
                features.append(_bits(record))
                _count(counts, record, length, len(story))
    np.save(folder / f"{part}.ends.npy", np.frombuffer(ends, dtype=np.int64))
    np.save(folder / f"{part}.features.npy", np.frombuffer(bytes(features), dtype=np.uint8))
    counts.tokens = ends[-1]


def _append(file: IO[bytes], tokens: list[int], ends: array[int]) -> None:
    file.write(np.array(tokens, dtype="<u2").tobytes())
    ends.append(ends[-1] + len(tokens))


def _bits(record: Record) -> int:
    if record.features is None:
        return 0
    return SAID | sum(1 << i for i, feature in enumerate(FEATURES) if feature in record.features)


def _count(counts: Counts, record: Record, length: int, story: int) -> None:
    counts.records += 1
    counts.longest, counts.longest_story = max(counts.longest, length), max(counts.longest_story, story)
    if record.features is not None:
        counts.said += 1
        for feature in record.features:
            counts.features[feature] += 1


def _check(file: Path, counts: Counts, seq_len: int, vocab_size: int) -> None:
    if counts.long > counts.records:
        raise UsageError(
            f"{file}: {counts.long} of {counts.long + counts.records} records are longer than the {seq_len} tokens of a model "
            f"at this scale, of a vocabulary of {vocab_size}; take a larger scale, or shorter stories"
        )
    if not counts.records:
        raise UsageError(
            f"{file}: all {counts.repeated} stories are in the training file too; held-out ones are needed"
        )
