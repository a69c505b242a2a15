"""Somebody's own stories, made to tokens once and kept in the cache; processes that need them meanwhile wait. No torch."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from capbench.errors import CapbenchError, UsageError
from capbench.store.code import name_digest
from capbench.store.files import sync
from capbench.store.keys import key_of, sha256
from capbench.store.locks import lock_type
from capbench.tasks.splits import Split
from capbench.tasks.stories.corpus.files import Files, find
from capbench.tasks.stories.corpus.opened import how_many, opened
from capbench.tasks.stories.corpus.preparing import COUNTS, TOKENIZER, Counts, prepare
from capbench.tasks.stories.corpus.task import CorpusTask
from capbench.tasks.stories.features import FEATURES

# What decides which tokens come of a file.
_CODE = tuple(f"capbench.tasks.stories.corpus.{name}:" for name in ("files", "records", "tokenising", "preparing"))
_DRAFT = ".draft-"
TO_TRAIN = 64  # stories with the target, and without, at least


@lru_cache(maxsize=4)
def stories_in(folder: str, root: Path, *, vocab_size: int, seq_len: int) -> CorpusTask:
    """The stories of a folder as a task, prepared in `root` unless they are there.

    vocab_size: of the vocabulary, at most. seq_len: of a model; longer records are dropped. Raises UsageError, one line, for a
    folder that holds no such stories, and CapbenchError where they cannot be written.
    """
    files = find(Path(folder))
    config = {
        "files": [_hash_of(files.train), _hash_of(files.valid)],
        "vocab_size": vocab_size,
        "seq_len": seq_len,
        "code": [name_digest(path) for path in _CODE],
    }
    place = root / key_of(config)
    try:
        _prepared(files, place, vocab_size=vocab_size, seq_len=seq_len)
        # The library may make another vocabulary of the same texts one day, so that its file counts too.
        identity = key_of({"prepared": place.name, "vocabulary": sha256((place / TOKENIZER).read_bytes())})
    except OSError as error:
        raise CapbenchError(f"cannot prepare the stories of {folder} in {str(place)!r}: {error.strerror}") from error
    path = str(place.resolve())
    return CorpusTask(identity=identity, vocab_size=len(opened(path).tokens), seq_len=seq_len, path=path)


def check_feature_of(stories: CorpusTask, feature: str, folder: str, *, measured: int) -> None:
    """Raises UsageError, one line, unless each split has enough stories with a feature, and enough without.

    measured: how many a share or a probe is of. With fewer, stories would be counted several times.
    """
    enough: Mapping[Split, int] = {"train": TO_TRAIN, "select": measured, "evaluate": measured}
    for split, least in enough.items():
        for share, word in ((1.0, "with"), (0.0, "without")):
            found = how_many(stories.path, split, feature, share)
            if found < least:
                of = _part_of(split)
                raise UsageError(
                    f"{folder}: {found} stories {word} {feature} to {split} in the {of} file, at least {least} are needed; "
                    f"they are known by a line such as 'Features: {feature}, {FEATURES[1]}' in their records"
                )


def counts_of(stories: CorpusTask) -> dict[str, Counts]:
    """What was found, by part."""
    return Counts.read(Path(stories.path))


def told_of(counts: Mapping[str, Counts]) -> str:
    """What there is and what was dropped, in a line: how many records train and are held out."""
    train, valid = counts["train"], counts["valid"]
    dropped = [
        f"{train.long + valid.long} too long" if train.long + valid.long else "",
        f"{train.wrong + valid.wrong} not in the format" if train.wrong + valid.wrong else "",
        f"{valid.repeated} of the held-out ones told before" if valid.repeated else "",
    ]
    words = f"{train.records} stories to train on, {valid.records} held out"
    return f"{words}; dropped: {', '.join(filter(None, dropped))}" if any(dropped) else words


def _part_of(split: str) -> str:
    return "training" if split == "train" else "validation"


def _prepared(files: Files, place: Path, *, vocab_size: int, seq_len: int) -> None:
    """Make the folder, in whole or not at all. Who comes meanwhile waits."""
    if (place / COUNTS).is_file():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with lock_type(place.parent)(place.parent / f"{place.name}.lock"):
        if (place / COUNTS).is_file():
            return
        for old in place.parent.glob(f"{_DRAFT}{place.name}.*"):  # of a process that was killed: nobody else is here
            shutil.rmtree(old, ignore_errors=True)
        draft = place.parent / f"{_DRAFT}{place.name}.{uuid.uuid4().hex[:8]}"
        draft.mkdir()
        try:
            prepare(files, draft, vocab_size=vocab_size, seq_len=seq_len)
            for file in (*draft.iterdir(), draft):
                sync(file)
            os.rename(draft, place)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync(place.parent)


def _hash_of(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
