"""A byte-pair vocabulary for stories, by the `tokenizers` library, and the tokens that no text has. Nothing heavy at import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.tasks.stories.features import FEATURES, index_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The end of a record; what a classifier answers; and what it is asked, one question for each feature.
SPECIAL = ("<end>", "<yes>", "<no>", *(f"<{feature}?>" for feature in FEATURES))
END, YES, NO = 0, 1, 2
LEAST = len(SPECIAL) + 256 + 64  # tokens: the special ones, all bytes, and some that are longer
MOST = 2**16  # that two bytes can number


def question(feature: str) -> int:
    """The token that asks whether a story has a feature. Raises UsageError for an unknown one."""
    return NO + 1 + index_of(feature)


def trained(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE of at most so many tokens, of which it has fewer where the texts have no more. Any text has tokens.

    Raises UsageError for a size that leaves no room for pairs of bytes, or that two bytes cannot number.
    """
    if not LEAST <= vocab_size <= MOST:
        raise UsageError(f"a vocabulary of {vocab_size} tokens: must be from {LEAST} to {MOST}")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    made.encode_special_tokens = True  # a story in which `<end>` is written does not end there
    return made


@dataclass(frozen=True)
class Line:
    """The tokens that make up a line such as `Features: Twist, Dialogue`. features: in the order of FEATURES."""

    start: tuple[int, ...]
    features: tuple[tuple[int, ...], ...]
    between: tuple[int, ...]
    end: tuple[int, ...]

    def of(self, features: Sequence[int]) -> list[int]:
        """The line that names these, by their places in FEATURES; nothing where it would name none."""
        if not features:
            return []
        found = [*self.start, *self.features[features[0]]]
        for feature in features[1:]:
            found += (*self.between, *self.features[feature])
        return [*found, *self.end]


class Tokens:
    """Text to tokens and back, with a vocabulary that was trained and kept."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # not kept in the file

    @classmethod
    def read(cls, file: Path) -> Tokens:
        """From the file that the library writes."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(file)))

    def __len__(self) -> int:
        size: int = self._tokenizer.get_vocab_size()
        return size

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without the special ones."""
        text: str = self._tokenizer.decode([token for token in tokens if token >= len(SPECIAL)])
        return text

    @cached_property
    def line(self) -> Line:
        """The line of features."""
        start, between, end, *features = self.encode(["Features:", ",", "\n", *(f" {name}" for name in FEATURES)])
        return Line(tuple(start), tuple(map(tuple, features)), tuple(between), tuple(end))

    @cached_property
    def story(self) -> list[int]:
        """`Story:` and the end of its line, after which the story begins."""
        return self.encode(["Story:\n"])[0]
