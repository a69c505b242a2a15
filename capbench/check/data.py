"""The checks of a folder of stories: what is there, what was dropped, and whether it is enough to delete a feature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capbench.check.findings import Finding
from capbench.errors import UsageError
from capbench.studies.scales import at_scale
from capbench.studies.stories.prepared import check_feature_of, counts_of, stories_in
from capbench.studies.stories.preset import PRESETS
from capbench.studies.stories.study import TARGET
from capbench.tasks.stories.corpus.files import find
from capbench.tasks.stories.corpus.preparing import Counts

_FEW = 0.02  # share of stories with a feature below which a classifier of it has little to learn from


def check_data(folder: str, *, scale: str, root: Path) -> Iterator[Finding]:
    """Check a folder of stories for a scale. Findings come as they are made; the tokens are kept in `root`, for a run.

    Raises UsageError, one line, for a folder or a file that cannot be used.
    """
    preset = at_scale(PRESETS, scale)
    files = find(Path(folder))
    size = sum(file.stat().st_size for file in (files.train, files.valid)) / 1e6
    yield _finding("files", f"{files.train.name} and {files.valid.name}, {size:,.1f} MB")
    stories = stories_in(folder, root, vocab_size=preset.own_vocabulary, seq_len=preset.own_length)
    found = counts_of(stories)
    for part, name in (("train", "to train on"), ("valid", "held out")):
        yield _records(found[part], name)
    yield _dropped(found)
    longest = max(counts.longest for counts in found.values())
    yield _finding(
        "tokens",
        f"{found['train'].tokens:,} to train on, of a vocabulary of {stories.vocab_size}; longest record {longest}, "
        f"a model at scale {scale} reads {stories.seq_len}",
    )
    yield _features(found["train"])
    try:
        check_feature_of(stories, TARGET, folder, measured=preset.n_of_each)
    except UsageError as error:
        yield Finding(check="target", ok=False, message=str(error).removeprefix(f"{folder}: "))
    else:
        yield _finding("target", f"enough stories with {TARGET} and without, in each split")


def _records(counts: Counts, name: str) -> Finding:
    words = f"{counts.records:,} records {name}, {counts.said:,} of which say their features"
    return _finding("records", words, note=counts.said < counts.records / 2)


def _dropped(found: dict[str, Counts]) -> Finding:
    train, valid = found["train"], found["valid"]
    long, wrong = train.long + valid.long, train.wrong + valid.wrong
    first = train.first_wrong or valid.first_wrong
    words = [
        f"{long:,} records longer than a model reads" if long else "",
        f"{wrong:,} not in the format ({first})" if wrong else "",
        f"{valid.repeated:,} held-out ones whose story was there before" if valid.repeated else "",
    ]
    return _finding("dropped", "; ".join(filter(None, words)) or "nothing", note=any(words))


def _features(counts: Counts) -> Finding:
    shares = {name: n / max(1, counts.said) for name, n in counts.features.items()}
    words = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
    rare = [name for name, share in shares.items() if not _FEW <= share <= 1 - _FEW]
    more = f"; too rare or too common to learn from: {', '.join(rare)}" if rare else ""
    return _finding("features", f"shares of the records that say them: {words}{more}", note=bool(rare))


def _finding(check: str, message: str, *, note: bool = False) -> Finding:
    return Finding(check=check, ok=True, message=message, note=note)
