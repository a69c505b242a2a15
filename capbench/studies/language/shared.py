"""What studies of a given language model share: the model as a step, its tokeniser, and what it is asked. No torch."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from capbench.errors import UsageError
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import Load
from capbench.store.keys import key_of
from capbench.studies.base import Preset
from capbench.tasks.language.capability import Capability
from capbench.tasks.language.tokenising import Tokeniser
from capbench.verdicts.tools import Toolbox


@dataclass(frozen=True, kw_only=True)
class LanguageStudy(abc.ABC):
    """A study of the model that --capbench-model names. `on` gives it the model; a study without one has no steps.

    method None: base models only. toolbox: no part of what is measured, so that it enters no key. load: reads the model.
    vocabulary: the hash of what its tokeniser does. capability: a name or file; title: what it is called in reports; content: the
    hash of what is in it.
    """

    preset: Preset
    method: MethodRef | None = None
    device: str = "cpu"
    toolbox: Toolbox = field(default=Toolbox(), compare=False, repr=False)
    load: Load | None = None
    vocabulary: str = ""
    capability: str = field(default="", compare=False)
    title: str = ""
    content: str = ""

    @abc.abstractmethod
    def on(self, path: str, capabilities: tuple[str, ...]) -> Self:
        """The study of the model at a path. capabilities: those that were asked for; () for the study's own.

        Raises UsageError, one line, for a model that cannot be loaded, and for capabilities that it is not about.
        """

    @property
    def model_name(self) -> str:
        if self.load is None:
            return "no language model"
        return Path(self.load.path).name.removesuffix(".gguf")

    @property
    def base(self) -> Load:
        """The model as it was given. Raises UsageError if none was."""
        if self.load is None:
            raise UsageError("no language model was given; --capbench-model=hf:PATH names one")
        return self.load

    @property
    def tokeniser(self) -> Tokeniser:
        """The model's. Raises UsageError if there is none."""
        return _tokeniser(self.base.path, self.base.model.vocab_size, self.base.model.seq_len)

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters."""
        return dict(case)


@lru_cache(maxsize=4)
def loading(path: str) -> Load:
    """The step that loads the model at a path. Raises UsageError, one line, for what cannot be loaded."""
    from capbench.pipeline.loading import step

    return step(path)


@lru_cache(maxsize=4)
def _tokeniser(path: str, vocab_size: int, seq_len: int) -> Tokeniser:
    from capbench.models.huggingface.loading import Pretrained

    with Pretrained.at(path, seq_len=seq_len) as found:
        return Tokeniser(found.tokenizer(), vocab_size=vocab_size, seq_len=seq_len)


def vocabulary_of(tokeniser: Tokeniser, of: Capability) -> str:
    """The hash of the tokens of a capability's prompts, answers and texts: all that a study has of a tokeniser."""
    texts = [
        text
        for item in (*of, *of.others)
        for text in (item.prompt, item.prompt + item.answer, *item.choices, *item.paraphrases)
    ]
    return key_of({"before": list(tokeniser.before), "tokens": tokeniser.plain([*texts, *of.retain])})


def content_of(of: Capability) -> str:
    """The hash of all that is in a capability."""
    items = {
        split: [[i.prompt, i.answer, i.group, dict(i.fields), [*i.choices], [*i.paraphrases]] for i in part]
        for split, part in of.items.items()
    }
    others = [[item.prompt, item.answer] for item in of.others]
    settings = [of.kind, of.metric, of.drawn, of.chance, of.tokens]
    return key_of({"items": items, "retain": list(of.retain), "others": others, "settings": settings})
