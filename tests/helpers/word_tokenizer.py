"""A tokenizer for tests that splits text as GPT-2's does before its merges: a word with the space before it, a mark, spaces."""

from __future__ import annotations

import re
from typing import Any

BOS = "<bos>"


class WordTokenizer:
    """A token for each word, given out as words come up; pairs: what is one token although it would be several."""

    def __init__(
        self, *, bos: bool = False, merged: tuple[str, ...] = (), pieces: int = 0, marks_space: bool = False
    ) -> None:
        """pieces: of so many letters at most, for words that share a beginning; 0: whole words.

        marks_space: a text that begins with a space has a token more before it, as SentencePiece makes of it.
        """
        self._bos, self._pieces, self._marks_space = bos, pieces, marks_space
        merges = "".join(f"{re.escape(text)}|" for text in merged)
        self._split = re.compile(rf"{merges} ?\w+|\s+(?!\S)|\s|[^\w\s]")
        self.words: list[str] = [BOS]

    def __call__(self, text: Any, *, add_special_tokens: bool = True) -> dict[str, Any]:
        one = isinstance(text, str)
        found = [self._read(t, add_special_tokens and self._bos) for t in ([text] if one else text)]
        return {"input_ids": found[0] if one else found}

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.words[token] for token in tokens)

    def _read(self, text: str, bos: bool) -> list[int]:
        parts = [piece for word in self._split.findall(text) for piece in self._cut(word)]
        if self._marks_space and text.startswith(" "):
            parts = ["▁", *parts]
        return [0] * bos + [self._number(part) for part in parts]

    def _cut(self, word: str) -> list[str]:
        n = self._pieces or len(word)
        return [word[i : i + n] for i in range(0, len(word), n)]

    def _number(self, word: str) -> int:
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)
