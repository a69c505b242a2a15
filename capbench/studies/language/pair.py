"""A model before and after a change, as they lie on this machine: that they are of one kind is looked at before they are read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.models.huggingface.config import HuggingFaceConfig
from capbench.tasks.language.capability import Capability
from capbench.tasks.language.tokenising import Tokeniser

if TYPE_CHECKING:
    from capbench.models.base import Model
    from capbench.models.huggingface.loading import Pretrained

PREFIX = "hf:"
_ALIKE = ("family", "vocab_size", "d_model", "n_blocks")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models that read the same tokens; the tokeniser is that of the model before."""

    before: Model
    after: Model


@contextmanager
def opened(before: str) -> Iterator[tuple[Pretrained, Tokeniser]]:
    """The model before the change, without its weights, and its tokeniser. Raises UsageError, one line."""
    try:
        from capbench.models.huggingface.loading import Pretrained
    except ModuleNotFoundError as error:
        raise UsageError(f"{before}: needs the package {error.name}; pip install 'capbench[hf]'") from None
    with Pretrained.at(_path(before)) as found:
        yield found, Tokeniser(found.tokenizer(), vocab_size=found.config.vocab_size, seq_len=found.config.seq_len)


def loaded(found: Pretrained, after: str, of: Capability, tokeniser: Tokeniser) -> Pair:
    """Both models. after: a folder, a .gguf file or the folder of a PEFT adapter on the model before.

    Raises UsageError, one line, for another architecture, vocabulary or tokenizer, and for an adapter of another model.
    """
    from capbench.models.huggingface.adapter import is_adapter, merged
    from capbench.models.huggingface.identity import identity
    from capbench.models.huggingface.loading import Pretrained

    path = _path(after)
    if is_adapter(path):
        model = found.load()
        return Pair(before=model, after=merged(model, path, base=found.source.path))
    with Pretrained.at(path) as theirs:
        check_alike(after, theirs.config, str(found.source.path), found.config)
        if (own := _tokeniser(theirs)) is not None:
            check_tokens(after, own, of, tokeniser)
        model = found.load()
        same = identity(theirs.source) == identity(found.source)
        return Pair(before=model, after=copy.deepcopy(model) if same else theirs.load())


def check_alike(after: str, one: HuggingFaceConfig, before: str, other: HuggingFaceConfig) -> None:
    """Raises UsageError unless both are of one architecture, size and vocabulary."""
    for name in _ALIKE:
        if (a := getattr(one, name)) != (b := getattr(other, name)):
            raise UsageError(
                f"{after}: its {name} is {a} and that of {before} is {b}; a pair must be of one architecture and vocabulary"
            )


def tokeniser_at(path: str | Path) -> Tokeniser | None:
    """That of the model at a path; None where only weights lie. Raises UsageError as loading does."""
    from capbench.models.huggingface.loading import Pretrained

    with Pretrained.at(path) as found:
        return _tokeniser(found)


def check_tokens(after: str, own: Tokeniser, of: Capability, tokeniser: Tokeniser) -> None:
    """Raises UsageError unless the model after the change reads the same tokens."""
    if own.before != tokeniser.before:
        begins = [repr(each.text(each.before)) if each.before else "nothing" for each in (own, tokeniser)]
        raise UsageError(
            f"{after}: its tokenizer puts {begins[0]} before a text and that of the model before {begins[1]}; a pair must read "
            "the same tokens"
        )
    texts = [item.prompt + item.answer for item in of.items["evaluate"]]
    for text, one, other in zip(texts, own.plain(texts), tokeniser.plain(texts), strict=True):
        if one != other:
            raise UsageError(
                f"{after}: its tokenizer makes {len(one)} tokens of {text!r:.80} and that of the model before {len(other)} "
                "others; a pair must read the same tokens"
            )


def _tokeniser(found: Pretrained) -> Tokeniser | None:
    if not (found.source.is_gguf or found.source.has_vocabulary):
        return None
    return Tokeniser(found.tokenizer(), vocab_size=found.config.vocab_size, seq_len=found.config.seq_len)


def _path(given: str) -> Path:
    return Path(given.removeprefix(PREFIX)).expanduser()
