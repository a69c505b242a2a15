"""Pretrained models from this machine: offline, without code of others, in float32. Imports transformers."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, logging
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from capbench.errors import UsageError
from capbench.models.huggingface import gguf_file, memory, parts
from capbench.models.huggingface.config import HuggingFaceConfig
from capbench.models.huggingface.model import HuggingFace
from capbench.models.huggingface.source import Source, find

LONGEST = 2048  # tokens of a string, where the architecture sets no limit


@dataclass(frozen=True)
class Pretrained:
    """What can be said of a pretrained model before its weights are read.

    theirs: transformers' configuration. n_weights: numbers in the files. n_tokens: largest token of the tokenizer, and one; None
    if there is none, or one that only transformers can read.
    """

    source: Source
    config: HuggingFaceConfig
    theirs: Any
    n_weights: int
    n_tokens: int | None

    @classmethod
    @contextmanager
    def at(cls, path: str | Path, *, seq_len: int | None = None) -> Iterator[Self]:
        """The model at a path, for as long as the block lasts. seq_len: of strings, at most; else the architecture's.

        Raises UsageError, one line, for what is no causal language model or cannot be loaded here.
        """
        source = find(path)
        with ExitStack() as stack:
            stack.enter_context(quiet())
            reader = stack.enter_context(gguf_file.read_once(source.path)) if source.is_gguf else None
            theirs = _configuration(source)
            longest = getattr(theirs, "max_position_embeddings", None)
            if seq_len is not None and longest is not None and seq_len > longest:
                raise UsageError(f"{path}: seq_len {seq_len} must be at most {longest}")
            seq_len = longest or LONGEST if seq_len is None else seq_len
            found = cls(
                source=source,
                config=parts.described(theirs, seq_len=seq_len),
                theirs=theirs,
                n_weights=_n_weights(source) if reader is None else gguf_file.n_weights(reader),
                n_tokens=_n_tokens(source) if reader is None else gguf_file.n_tokens(reader),
            )
            found._check_fits(found.n_tokens)
            yield found

    @property
    def memory(self) -> int:
        """Bytes that the weights take once they are loaded."""
        return self.n_weights * memory.WEIGHT

    def load(self) -> HuggingFace:
        """The model, in evaluation mode. Raises UsageError if memory does not suffice or the files lack a weight."""
        memory.check(str(self.source.path), self.memory)
        # GGUF's progress bar cannot be switched off.
        with _refusing(self.source, "weights"), redirect_stderr(io.StringIO()), parts.leaving_torch_alone():
            hf, told = AutoModelForCausalLM.from_pretrained(
                *self._place,
                **self._how,
                config=self.theirs,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
        for keys, fault in (
            (told["missing_keys"], "the files lack {}"),
            (told["mismatched_keys"], "in the files {} has another shape"),
            (told["unexpected_keys"], f"{type(hf).__name__} has no place for {{}}"),
        ):
            if names := sorted(key if isinstance(key, str) else key[0] for key in keys):
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise UsageError(f"{self.source.path}: {fault.format(names[0] + more)}")
        if (
            self.source.is_gguf
        ):  # its weights were unpacked; what transformers remembers of that would go into every copy
            hf.hf_quantizer = None
            vars(hf.config).pop("quantization_config", None)
        return HuggingFace(self.config, hf).eval()

    def tokenizer(self) -> Any:
        """transformers' tokenizer. Raises UsageError if there is none, or one with more tokens than the model."""
        if self.n_tokens is None and (self.source.is_gguf or not self.source.has_vocabulary):
            raise UsageError(
                f"{self.source.path}: there is no tokenizer, such as tokenizer.json"
            )  # transformers may make one up
        with _refusing(self.source, "tokenizer"):
            found = AutoTokenizer.from_pretrained(*self._place, **self._how)
        self._check_fits(max(found.get_vocab().values(), default=-1) + 1)
        return found

    @property
    def _place(self) -> tuple[str]:
        return (str(self.source.path.parent if self.source.is_gguf else self.source.path),)

    @property
    def _how(self) -> dict[str, Any]:
        return _how(self.source)

    def _check_fits(self, n_tokens: int | None) -> None:
        if n_tokens is not None and n_tokens > self.config.vocab_size:
            raise UsageError(
                f"{self.source.path}: the tokenizer has {n_tokens} tokens and the model's embedding {self.config.vocab_size}: "
                "it is another model's"
            )


def load(path: str | Path, *, seq_len: int | None = None) -> HuggingFace:
    """The model at a path, in evaluation mode; see `Pretrained`."""
    with Pretrained.at(path, seq_len=seq_len) as found:
        return found.load()


def _how(source: Source) -> dict[str, Any]:
    own = {"gguf_file": source.path.name} if source.is_gguf else {}
    return {**own, "local_files_only": True, "trust_remote_code": False}


def _configuration(source: Source) -> Any:
    place = source.path.parent if source.is_gguf else source.path
    kind = source.config.get("model_type")
    if not source.is_gguf and not isinstance(kind, str):
        raise UsageError(f'{source.path}: config.json must say its model_type, as in "model_type": "llama"')
    with _refusing(source, "configuration"):
        theirs = AutoConfig.from_pretrained(str(place), **_how(source))
    kind = theirs.model_type
    if getattr(theirs, "is_encoder_decoder", False):
        raise UsageError(
            f"{source.path}: a {kind} has an encoder; only models that read left to right alone can be used"
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UsageError(f"{source.path}: a {kind} is no causal language model of transformers")
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(theirs, "is_decoder", True):
        raise UsageError(
            f"{source.path}: this {kind} is an encoder, which sees later tokens; it is no causal language model"
        )
    if getattr(theirs, "quantization_config", None) is not None:
        raise UsageError(f"{source.path}: its weights are quantised; use the original, or a GGUF file")
    return parts.without_dropout(theirs)


def _n_weights(source: Source) -> int:
    total = 0
    for file in source.weights:
        try:
            with safe_open(file, "pt") as opened:
                total += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise UsageError(f"{file}: no whole safetensors file ({' '.join(str(error).split())})") from None
    return total


def _n_tokens(source: Source) -> int | None:
    if source.tokenizer is None:
        return None
    try:
        vocabulary = Tokenizer.from_file(str(source.tokenizer)).get_vocab()
    except Exception as error:  # whatever its parser meets
        raise UsageError(f"{source.tokenizer}: no tokenizer ({' '.join(str(error).split())})") from None
    return max(vocabulary.values(), default=-1) + 1


@contextmanager
def _refusing(source: Source, what: str) -> Iterator[None]:
    """transformers raises many things; what it says is passed on as one line."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        raise UsageError(f"{source.path}: transformers cannot load its {what}: {words[:300]}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and remarks: what matters of them is checked."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
