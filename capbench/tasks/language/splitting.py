"""Items into three splits, and texts into those to train on and those to measure on.

Items: whole groups, by a hash of their names, so that neither order nor other groups move one by chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from capbench.tasks.language.capability import SPLITS, Item, Kind
from capbench.tasks.splits import Split

# Facts are relearned on one half and tested on the other; attacks are chosen on a quarter of all.
SHARES: Mapping[Kind, Mapping[Split, float]] = {
    "skill": {"train": 0.5, "select": 0.25, "evaluate": 0.25},
    "facts": {"train": 0.5, "select": 0.15, "evaluate": 0.35},
}
HELD = 4  # one text in so many is held out of training


def divided(items: Sequence[Item], shares: Mapping[Split, float], *, seed: int = 0) -> dict[Split, tuple[Item, ...]]:
    """Every group in one split. Groups are put in the order of their hashes, and cut where the shares of items are nearest.

    seed: another gives other splits.
    """
    sizes: dict[str, int] = {}
    for item in items:
        sizes[item.group] = sizes.get(item.group, 0) + 1
    where: dict[str, Split] = {}
    total, done = sum(shares.values()), 0
    ends = [sum(shares[s] for s in SPLITS[: i + 1]) / total * len(items) for i in range(len(SPLITS))]
    for group in sorted(sizes, key=lambda name: _hash(seed, name)):
        middle = done + sizes[group] / 2
        where[group] = next((s for s, end in zip(SPLITS, ends, strict=True) if middle < end), SPLITS[-1])
        done += sizes[group]
    return {split: tuple(item for item in items if where[item.group] == split) for split in SPLITS}


def held_out(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts to train on, and every fourth, on which damage is measured. Fewer than four are cut: the last quarter of each."""
    if len(texts) >= HELD:
        return tuple(text for i, text in enumerate(texts) if i % HELD), tuple(texts[::HELD])
    cut = [(words, len(words) - len(words) // HELD) for words in (text.split(" ") for text in texts)]
    kept, held = [" ".join(words[:end]) for words, end in cut], [" ".join(words[end:]) for words, end in cut]
    return tuple(filter(None, kept)), tuple(filter(None, held))


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()
