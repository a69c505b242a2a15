"""A causal language model of transformers behind the interface of all architectures. Imports transformers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from capbench.errors import CapbenchError, UsageError
from capbench.models.base import Activations, Model, hooked
from capbench.models.huggingface import memory, parts
from capbench.models.huggingface.config import HuggingFaceConfig
from capbench.models.huggingface.padding import Moved


class HuggingFace(Model):
    """Any causal model of transformers with a residual stream, a final norm and an unembedding.

    Tokens may hold padding (see padding.py). Weights and computations are float32; nothing is cached between passes, and there is
    no dropout. `hf` is transformers' model, whose modules keep their names; GPT-2's Conv1D are linear maps. Where memory is short
    for a step of training, its blocks are computed a second time in the backward pass.
    """

    reads_modules: ClassVar[bool] = True
    _most_tokens: int = 0  # of a step of training, for which there was room

    def __init__(self, config: HuggingFaceConfig, hf: Any = None) -> None:
        """With weights of zero, to be loaded. hf: the model of transformers, if it is there already; it is changed.

        Raises UsageError if transformers has no such model, or its parts are not found.
        """
        super().__init__()
        self.config = config
        self.hf: Any = parts.empty(config) if hf is None else hf
        parts.with_rows_as_neurons(self.hf)
        parts.with_modules_called(self.hf)
        found = parts.parts(self.hf)
        if config.tied != (found.unembedding.weight is found.embedding.weight):
            raise UsageError(
                f"{type(self.hf).__name__}: its embedding is {'not ' * config.tied}tied to its unembedding"
            )

    @classmethod
    def initialised(cls, config: HuggingFaceConfig, rng: torch.Generator) -> HuggingFace:
        """A model with the initialisation that transformers gives its architecture, drawn from `rng` alone."""
        return cls(config, parts.initialised(config, rng))

    # Looked up, not kept: a copy, or a module that was put in another's place, has its own.
    @property
    def blocks(self) -> nn.ModuleList:
        return parts.parts(self.hf).blocks

    @property
    def norm(self) -> nn.Module:
        return parts.parts(self.hf).norm

    @property
    def token_embedding(self) -> nn.Module:
        return parts.parts(self.hf).embedding

    @property
    def unembedding(self) -> nn.Module:
        return parts.parts(self.hf).unembedding

    def train(self, mode: bool = True) -> Self:
        """As of every module."""
        super().train(mode)
        parts.with_modules_called(self.hf)
        return self

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        moved = self._read(tokens)
        logits = self._logits(tokens if moved is None else moved.tokens)
        return logits if moved is None else moved.back(logits, 1)

    def answer_logits(self, tokens: Int[Tensor, "batch pos"], position: int) -> Float[Tensor, "batch vocab"]:
        """`forward` at one position: later positions are dropped, and nothing else is read out."""
        if hooked(self):
            return super().answer_logits(tokens, position)
        moved = self._read(tokens)
        position %= tokens.shape[1]
        if moved is None:
            return self._logits(tokens[:, : position + 1], keep=1)[:, 0]
        own = (position - moved.start) % tokens.shape[1]  # where each string has it
        places, which = own.unique(return_inverse=True)
        logits = self._logits(moved.tokens[:, : int(places[-1]) + 1], keep=places)
        return logits[torch.arange(len(tokens), device=tokens.device), which]

    def run_with_cache(
        self, tokens: Int[Tensor, "batch pos"], *, attention: bool = False
    ) -> tuple[Float[Tensor, "batch pos vocab"], Activations]:
        """Logits and activations. There are attention maps only where every block has attention."""
        moved = self._read(tokens)
        blocks, resid, maps = list(self.blocks), list[Tensor](), list[Tensor]()
        before = self.hf.config._attn_implementation
        with ExitStack() as after:
            first = blocks[0] if blocks else self.norm
            for handle in (
                first.register_forward_pre_hook(
                    lambda _, args, named: resid.append(_stream(args, named)), with_kwargs=True
                ),
                *(block.register_forward_hook(lambda _, args, out: resid.append(_first(out))) for block in blocks),
            ):
                after.callback(handle.remove)
            if attention:
                after.callback(self.hf.set_attn_implementation, before)
                self.hf.set_attn_implementation("eager")  # the others never have the probabilities
                for block in blocks:
                    for module in block.modules():
                        handle = module.register_forward_hook(lambda _, args, out: maps.extend(_map(out)))
                        after.callback(handle.remove)
            logits = self._logits(tokens if moved is None else moved.tokens)
        stream = torch.stack(resid)
        attn = torch.stack(maps) if blocks and len(maps) == len(blocks) else None
        if moved is None:
            return logits, Activations(stream, attn)
        if attn is not None:
            attn = moved.back(moved.back(attn, 3, batch=1), 4, batch=1)
        return moved.back(logits, 1), Activations(moved.back(stream, 2, batch=1), attn)

    def stream_at(self, tokens: Int[Tensor, "batch pos"], layer: int) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream of `run_with_cache` at one layer, 0 the first: what comes after it is not computed."""
        if layer >= len(self.blocks):
            return self.run_with_cache(tokens)[1].resid[layer]
        moved = self._read(tokens)

        def reached(_: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            raise _Reached(_stream(args, named))

        handle = self.blocks[layer].register_forward_pre_hook(reached, with_kwargs=True)
        try:
            self._logits(tokens if moved is None else moved.tokens, keep=1)
        except _Reached as there:
            return there.stream if moved is None else moved.back(there.stream, 1)
        finally:
            handle.remove()
        raise CapbenchError(f"{type(self.hf).__name__}: a pass came to its end without block {layer}")

    def as_read(self, resid: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The stream normalised as by the final norm, before its weight and bias: an RMSNorm does not take off the mean."""
        return parts.normalised(self.norm, resid)

    def neurons(self) -> dict[str, nn.Linear]:
        """All linear maps except the unembedding, tied or not."""
        unembedding = self.unembedding
        return {n: m for n, m in self.named_modules() if isinstance(m, nn.Linear) and m is not unembedding}

    def state_dict(self, *args: Any, **named: Any) -> Any:
        """Tied weights once, as the embedding. Raises CapbenchError if they are no longer tied, as that would be lost."""
        found = super().state_dict(*args, **named)
        if self.config.tied:
            if self.unembedding.weight is not self.token_embedding.weight:
                raise CapbenchError(f"{self._tied_name}: an unembedding that is tied to the embedding was untied")
            found.pop(f"{named.get('prefix', '')}{self._tied_name}")
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if self.config.tied:
            names = {m: n for n, m in self.named_modules()}
            embedding = f"{prefix}{names[self.token_embedding]}.weight"
            own = state_dict.get(f"{prefix}{self._tied_name}")
            if own is not None and not torch.equal(own, state_dict[embedding]):
                raise CapbenchError(f"{self._tied_name} differs from the embedding, to which this model ties it")
            if embedding in state_dict:
                state_dict[f"{prefix}{self._tied_name}"] = state_dict[embedding]
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def _tied_name(self) -> str:
        return f"{next(n for n, m in self.named_modules() if m is self.unembedding)}.weight"

    def _read(self, tokens: Tensor) -> Moved | None:
        self._passing(tokens)
        if tokens.shape[1] > self.config.seq_len:
            raise UsageError(f"string of {tokens.shape[1]} tokens; this model takes at most {self.config.seq_len}")
        return Moved.of(tokens)

    def _logits(self, tokens: Tensor, *, keep: int | Tensor = 0) -> Tensor:
        """keep: positions, or how many of the last; 0: all."""
        if self.training and torch.is_grad_enabled():
            self._make_room(tokens)
        try:
            logits: Tensor = self.hf(input_ids=tokens, use_cache=False, return_dict=True, logits_to_keep=keep).logits
        finally:
            parts.forget_states(self.hf)
        return logits

    def _make_room(self, tokens: Tensor) -> None:
        """Asked once for each larger step, and not undone: the numbers are the same, and so is the time of later steps."""
        if tokens.numel() <= self._most_tokens:
            return
        self._most_tokens = tokens.numel()
        sizes: dict[str, int] = {"n_blocks": self.config.n_blocks, "d_model": self.config.d_model}
        if not memory.has_room(tokens.numel(), **sizes, device=tokens.device):
            parts.recompute(self.hf)


class _Reached(Exception):  # noqa: N818 (no error: it ends a pass where all that is wanted of it is there)
    def __init__(self, stream: Tensor) -> None:
        super().__init__()
        self.stream = stream


def _stream(args: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """The stream that is given to a block."""
    return cast(Tensor, args[0] if args else named["hidden_states"])


def _first(out: Any) -> Tensor:
    return cast(Tensor, out[0] if isinstance(out, tuple) else out)


def _map(out: Any) -> list[Tensor]:
    """The attention probabilities [batch, head, query, key] beside a module's output, if it gives any."""
    beside = out[1:] if isinstance(out, tuple) else ()
    return [t for t in beside if isinstance(t, Tensor) and t.dim() == 4 and t.shape[2] == t.shape[3]]
