"""The model that a user names for a check: hf:PATH, or a class of an architecture, which gets small sizes and random weights."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from capbench.configs import ModelConfig
from capbench.errors import CapbenchError, UsageError
from capbench.methods.specs.user_code import import_file, make_cwd_importable, one_line
from capbench.models.base import Model

PRETRAINED = "hf:"
# Sizes as in the suites at scale `small`.
_SIZES = {"vocab_size": 64, "seq_len": 40, "n_blocks": 3, "d_model": 96, "n_heads": 3, "kernel": 9}


@dataclass(frozen=True)
class Candidate:
    """load: the model, in evaluation mode. anew: another with weights of its own, for an architecture.

    memory: bytes that its weights take, known beforehand. tokenizer: gives transformers' tokenizer, of a model that has one.
    """

    config: ModelConfig
    load: Callable[[], Model]
    anew: Callable[[torch.Generator], Model] | None = None
    memory: int | None = None
    tokenizer: Callable[[], Any] | None = None


@contextmanager
def candidate(spec: str) -> Iterator[Candidate]:
    """What a spec names: hf:PATH, pkg.mod:Class or file.py:Class. Raises UsageError, one line, for one that cannot be had."""
    if spec.startswith(PRETRAINED):
        try:
            from capbench.models.huggingface.loading import Pretrained
        except ModuleNotFoundError as error:
            raise UsageError(f"{spec}: needs the package {error.name}; pip install 'capbench[hf]'") from None
        with Pretrained.at(spec.removeprefix(PRETRAINED)) as found:
            yield Candidate(found.config, found.load, memory=found.memory, tokenizer=found.tokenizer)
        return
    architecture = _architecture(spec)
    config = _small(spec, architecture)

    def anew(rng: torch.Generator) -> Model:
        return architecture.initialised(config, rng).eval()

    yield Candidate(config, lambda: anew(torch.Generator().manual_seed(0)), anew)


def _architecture(spec: str) -> type[Model]:
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise UsageError(f"{spec!r}: must be hf:PATH, pkg.mod:Class or file.py:Class")
    try:
        if where.endswith(".py"):
            if not Path(where).is_file():
                raise UsageError(f"{spec}: there is no file {where} in {Path.cwd()}")
            module = import_file(Path(where).resolve())
        else:
            make_cwd_importable()
            module = importlib.import_module(where)
    except CapbenchError:
        raise
    except Exception as error:  # the user's own code
        raise UsageError(f"{spec}: cannot be imported: {one_line(error)}") from None
    found = getattr(module, name, None)
    if not isinstance(found, type) or not issubclass(found, Model):
        known = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, Model) and v is not Model]
        words = "is no subclass of capbench.models.base.Model" if found is not None else "is not there"
        raise UsageError(f"{spec}: {name} {words}; {where} has {', '.join(known) or 'none'}")
    return found


def _small(spec: str, architecture: type[Model]) -> ModelConfig:
    """A configuration of the type that the class says it takes."""
    for where in ("__init__", "initialised", "mixer"):
        try:
            hinted = typing.get_type_hints(getattr(architecture, where, None)).get("config")
        except (NameError, TypeError):
            continue
        if isinstance(hinted, type) and issubclass(hinted, ModelConfig) and hinted is not ModelConfig:
            break
    else:
        raise UsageError(f"{spec}: `config` of its __init__ must be annotated with its own subclass of ModelConfig")
    fields = {field.name: field for field in dataclasses.fields(hinted)}
    needed = [n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    if unknown := [name for name in needed if name not in _SIZES]:
        raise UsageError(
            f"{spec}: {hinted.__name__} needs {unknown[0]}, and a check knows no value for it; give it a default"
        )
    config: ModelConfig = hinted(**{name: _SIZES[name] for name in needed})
    return config
