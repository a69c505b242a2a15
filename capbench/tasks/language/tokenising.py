"""Items as tokens: what a model reads, and the tokens that decide whether its answer is right.

Choices are told apart by the first token in which they differ. What they have in common before it belongs to the prompt.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from capbench.errors import UsageError
from capbench.tasks.language.capability import CHOICE, EXACT, Capability, Item, shown
from capbench.tasks.language.streams import Prompt, Prompts, Texts


class Tokenizer(Protocol):
    """What is used of transformers' tokenizers."""

    def __call__(self, text: Any, *, add_special_tokens: bool = True) -> Any: ...
    def decode(self, tokens: Any) -> Any: ...


class Tokeniser:
    """Text to tokens for one model.

    vocab_size, seq_len: the model's. before: the tokens that its tokenizer puts before every text, as BOS; they come before every
    prompt. Those that it puts after a text are left out, as an answer follows.
    """

    def __init__(self, tokenizer: Tokenizer, *, vocab_size: int, seq_len: int) -> None:
        self._tokenizer, self.vocab_size, self.seq_len = tokenizer, vocab_size, seq_len
        self.before = _before(tokenizer)

    def plain(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, without special ones."""
        return (
            [] if not texts else [list(t) for t in self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
        )

    def text(self, tokens: Iterable[int]) -> str:
        """The text of tokens."""
        return str(self._tokenizer.decode(list(tokens)))

    def prompts(self, of: Capability, items: Sequence[Item], *, seed: int = 0) -> Prompts:
        """These items of a capability, in their order.

        seed: of the choices, where they are drawn. Raises UsageError, one line that says where the item stands, for an answer
        that is not a single choice, a prompt that is too long, and one whose end the tokenizer merges with the answer.
        """
        if not items:
            raise UsageError(f"{of.name}: there are no items")
        pool = sorted({item.answer for item in of}) if of.drawn else []
        if of.drawn and len(pool) < of.drawn:
            raise UsageError(
                f"{of.name}: choices = {of.drawn}, and there are only {len(pool)} different answers to draw from"
            )
        texts = dict.fromkeys((*pool, *(text for item in items for text in (item.answer, *item.choices))))
        alone = dict(zip(texts, self.plain(list(texts)), strict=True))
        same = _common([alone[text] for text in pool])  # what SentencePiece puts before every text that stands alone
        alone = {text: tokens[same:] for text, tokens in alone.items()}
        heads = self.plain([item.prompt for item in items])
        wholes = self.plain([item.prompt + item.answer for item in items])
        made = list[Prompt]()
        for item, head, whole in zip(items, heads, wholes, strict=True):
            answer = self._after(item, head, whole)
            if of.metric == CHOICE:
                made.append(self._choice(of, item, head, answer, alone, pool, seed))
            else:
                made.append(Prompt(tokens=(*self.before, *head), answer=tuple(answer)))
            if not made[-1].tokens:
                raise UsageError(f"{item.place}: the prompt {shown(item.prompt)} has no token")
            self._check_length(of, item, made[-1])
        return Prompts.of(of.name, made, vocab_size=self.vocab_size)

    def others(self, of: Capability) -> Prompts | None:
        """The prompts of something else that are to be kept; None if there are none. Raises UsageError as `prompts` does."""
        return self.prompts(replace(of, metric=EXACT, drawn=0), of.others) if of.others else None

    def texts(self, name: str, texts: Sequence[str], *, length: int, answer_pos: int | None = None) -> Texts:
        """Texts as strings of `length` tokens, cut from all of them in a row; see `Texts`.

        Raises UsageError if they are too short for a single string.
        """
        if not 0 < length <= self.seq_len:
            raise UsageError(f"{name}: strings of {length} tokens; must be from 1 to the model's {self.seq_len}")
        size = length + 1 - len(self.before)  # the last is a target only
        if size < 2:
            raise UsageError(f"{name}: strings of {length} tokens leave no room for text")
        strings = list[tuple[int, ...]]()
        for tokens in self.plain(texts):
            starts = range(0, len(tokens) - size + 1, size)
            strings += [(*self.before, *tokens[i : i + size]) for i in starts]
        if not strings:
            raise UsageError(f"{name}: none of its texts has {size} tokens; make them longer, or the strings shorter")
        return Texts(
            name=name,
            vocab_size=self.vocab_size,
            strings=tuple(strings),
            answer_pos=length - 1 if answer_pos is None else answer_pos,
        )

    def _after(self, item: Item, head: list[int], whole: list[int]) -> list[int]:
        """The tokens of the answer after this prompt."""
        if whole[: len(head)] != head:
            same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(head, whole, strict=False)))
            merged = self.text(whole[same : same + 1])
            cure = (
                "begin the answer with the space, not end the prompt with it"
                if item.prompt[-1:].isspace()
                else "put a space or a line break between them, at the answer's beginning"
            )
            raise UsageError(
                f"{item.place}: the tokenizer merges the end of the prompt {shown(item.prompt)} with the answer "
                f"{item.answer!r} (one token for {merged!r}): {cure}"
            )
        if len(whole) == len(head):
            raise UsageError(f"{item.place}: the answer {item.answer!r} has no token")
        return whole[len(head) :]

    def _choice(
        self,
        of: Capability,
        item: Item,
        head: list[int],
        answer: list[int],
        alone: dict[str, list[int]],
        pool: list[str],
        seed: int,
    ) -> Prompt:
        """The prompt until the choices differ, and their tokens there: the answer's, then the others'."""
        names = [text for text in item.choices if text != item.answer]
        if of.drawn:
            names = self._drawn(of, item, alone, pool, seed)
        if not names:
            raise UsageError(
                f"{item.place}: it has no choices, and the metric is choice; list them, or use the metric exact"
            )
        wholes = self.plain([item.prompt + text for text in names])
        every = {item.answer: answer}
        for name, whole in zip(names, wholes, strict=True):
            every[name] = self._after(replace(item, answer=name), head, whole)
        self._check_differ(item, every)
        same = _common(list(every.values()))
        seen: dict[int, str] = {}
        for text, tokens in every.items():
            if len(tokens) == same:
                longer = next(other for other in every if other != text)
                raise UsageError(
                    f"{item.place}: the answer {text!r} is the beginning of {longer!r}; end the template of answers with a full "
                    "stop or a line break"
                )
            if (other := seen.setdefault(tokens[same], text)) != text:
                raise UsageError(
                    f"{item.place}: the answer {item.answer!r} is not a single choice: {other!r} and {text!r} both go on with "
                    f"the token {self.text([tokens[same]])!r} where others differ; use other words, or the metric exact"
                )
        first, *rest = seen
        return Prompt(tokens=(*self.before, *head, *answer[:same]), answer=(first,), choices=(first, *rest))

    def _check_differ(self, item: Item, every: dict[str, list[int]]) -> None:
        """Raises UsageError for two choices that are the same to the tokenizer, such as two words that it does not know."""
        seen: dict[tuple[int, ...], str] = {}
        for text, tokens in every.items():
            if (other := seen.setdefault(tuple(tokens), text)) != text:
                raise UsageError(
                    f"{item.place}: the tokenizer makes the same tokens of {other!r} and {text!r} ({self.text(tokens)!r}); use "
                    "words that it knows"
                )

    def _drawn(self, of: Capability, item: Item, alone: dict[str, list[int]], pool: list[str], seed: int) -> list[str]:
        """Other answers, drawn for this item alone, that differ from it and from each other in the first token of their own."""
        order = pool[:]
        random.Random(_number(seed, item.prompt)).shuffle(order)
        found = list[str]()
        taken = set(alone[item.answer][:1])
        for text in order:
            if len(found) == of.drawn - 1:
                break
            if alone[text] and alone[text][0] not in taken:
                found.append(text)
                taken.add(alone[text][0])
        if len(found) < of.drawn - 1:
            raise UsageError(
                f"{item.place}: choices = {of.drawn}, and only {len(found) + 1} answers differ in their first token from each "
                f"other and from {item.answer!r}"
            )
        return found

    def _check_length(self, of: Capability, item: Item, prompt: Prompt) -> None:
        after = of.tokens if of.is_checked else 0
        needed = len(prompt.tokens) + max(after, len(prompt.answer)) - 1
        if needed > self.seq_len:
            raise UsageError(
                f"{item.place}: the prompt {shown(item.prompt)} takes {needed} tokens with its answer; the model reads at most "
                f"{self.seq_len}"
            )


def _before(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The special tokens that a tokenizer puts before a text."""
    probe = "a b"
    plain = list(tokenizer(probe, add_special_tokens=False)["input_ids"])
    whole = list(tokenizer(probe)["input_ids"])
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start])
    return ()


def _common(strings: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with."""
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, zip(*strings, strict=False)))


def _number(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\n{text}".encode()).digest()[:8])
