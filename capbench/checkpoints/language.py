"""Language models in an exported folder: as transformers saves them, with their data as JSON lines. Imports torch.

The tuned model comes back as a folder, whole or as an adapter of the PEFT library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from capbench.checkpoints.manifest import TUNED, Entry
from capbench.errors import CapbenchError, UsageError
from capbench.models.huggingface.config import HuggingFaceConfig
from capbench.pipeline.steps import Load, Step
from capbench.tasks.base import Task
from capbench.tasks.language.streams import Prompts, Texts

if TYPE_CHECKING:
    import torch

    from capbench.models.base import Model
    from capbench.models.huggingface.model import HuggingFace

NO_LOSS = -100  # the label that transformers gives no loss


def is_language(model: Model) -> TypeGuard[HuggingFace]:
    """Whether a model is one of transformers."""
    return isinstance(model.config, HuggingFaceConfig)


def is_text(stream: Task) -> TypeGuard[Prompts | Texts]:
    """Whether a stream is a set of strings in a language, of which batches are drawn in rounds."""
    return isinstance(stream, Prompts | Texts)


def write_base(model: HuggingFace, step: Step, folder: Path) -> None:
    """Write a base model with the tokenizer of the model that it was made from, if there is one."""
    from capbench.models.huggingface.publishing import publish

    publish(model, folder, tokenizer=_tokenizer(step))


def lines(stream: Prompts | Texts, tokenizer: Any) -> Iterator[str]:
    """The strings of a stream as JSON lines: `prompt` and `completion`, or `text`, and `input_ids` and `labels` for trainers."""

    def text(tokens: tuple[int, ...]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    if isinstance(stream, Texts):
        for tokens in stream.strings:
            yield json.dumps({"text": text(tokens), "input_ids": tokens, "labels": tokens}, ensure_ascii=False)
        return
    for string in stream.strings:
        found = {
            "prompt": text(string.tokens),
            "completion": text(string.answer),
            "input_ids": [*string.tokens, *string.answer],
            "labels": [*[NO_LOSS] * len(string.tokens), *string.answer],
        }
        yield json.dumps(found, ensure_ascii=False)


def tokenizer_of(step: Step) -> Any:
    """That of the model which a base model was made from. Raises UsageError if there is none."""
    from capbench.models.huggingface.loading import Pretrained

    with Pretrained.at(_given(step).path) as found:
        return found.tokenizer()


def tuned(folder: Path, entry: Entry, base: Model) -> dict[str, torch.Tensor]:
    """The weights of an entry, under the names of its base model here. The folder tuned/<id>/ must be there.

    Raises CapbenchError, one line that begins with the reason.
    """
    from capbench.models.huggingface.adapter import is_adapter, merged
    from capbench.models.huggingface.loading import Pretrained

    place = folder / TUNED / entry.id
    if not place.is_dir():
        raise CapbenchError("is a file; save the model as a folder, with save_pretrained")
    try:
        if is_adapter(place):
            made: Any = base
            return dict(merged(made, place, base=(folder / entry.base).parent).state_dict())
        with Pretrained.at(place) as found:
            own: Any = base.config
            if found.config.family != own.family:
                raise CapbenchError(f"is a {found.config.family}; its base model is a {own.family}")
            return dict(found.load().state_dict())
    except UsageError as error:
        raise CapbenchError(f"cannot be read: {error}") from None


def exported_base(folder: Path, entry: Entry) -> HuggingFace:
    """The base model that was written for an entry. Raises UsageError, one line."""
    from capbench.models.huggingface.loading import load

    return load((folder / entry.base).parent)


def _tokenizer(step: Step) -> Any:
    with suppress(UsageError):
        return tokenizer_of(step)
    return None


def _given(step: Step) -> Load:
    """The model that a user gave, from which a base model was made."""
    while not isinstance(step, Load):
        step = step.parents[0]
    return step
