"""Where only the last blocks of a model train, what enters them does not change: it is computed once for each string."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from capbench.models.base import Model

MODELS, STRINGS = 2, 8192  # whose streams are kept, and how many of each
Row = tuple[tuple[int, ...], bytes]  # shape and hash of what enters the first block


@dataclass
class _Memory:
    """streams: by what enters the first block, what enters the first that trains. in_tuple: whether blocks give tuples."""

    streams: dict[Row, Tensor] = field(default_factory=dict)
    in_tuple: bool = False


_MEMORIES: OrderedDict[str, _Memory] = OrderedDict()


@contextmanager
def remembering(model: Model, blocks: int | None) -> Iterator[None]:
    """Within this, all but the last `blocks` blocks of a model of transformers are asked once for each string.

    They must not change, and `run_with_cache` must not be called. Models that share these blocks share what is remembered. Other
    models, and ones that train all blocks, are left as they are.
    """
    below = 0 if blocks is None or not hasattr(model, "hf") else len(cast(Any, model).blocks) - blocks
    if below < 1:
        yield
        return
    there: nn.ModuleList = cast(Any, model).blocks
    first = list(there[:below])
    memory = _memory(model, first)
    there[0] = _Remembered(first, memory)
    for i in range(1, below):
        there[i] = _Passing(first[i], memory)
    try:
        yield
    finally:
        for i, block in enumerate(first):
            there[i] = block


class _Standing(nn.Module):
    """In the place of a block, whose attributes transformers may ask for. What it stands for is no part of it."""

    def __init__(self, block: nn.Module, memory: _Memory) -> None:
        super().__init__()
        self._for, self._memory = (block,), memory  # in a tuple, so that torch does not take it for a part

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_for"][0], name)

    def _given(self, stream: Tensor) -> Any:
        return (stream,) if self._memory.in_tuple else stream


class _Passing(_Standing):
    def forward(self, hidden_states: Tensor, *args: Any, **named: Any) -> Any:
        return self._given(hidden_states)


class _Remembered(_Standing):
    def __init__(self, blocks: Sequence[nn.Module], memory: _Memory) -> None:
        super().__init__(blocks[0], memory)
        self._blocks = tuple(blocks)

    def forward(self, hidden_states: Tensor, *args: Any, **named: Any) -> Any:
        known, rows = self._memory.streams, [_row(string) for string in hidden_states]
        if not all(row in known for row in rows):
            out = self._computed(hidden_states, *args, **named)
            if len(known) + len(rows) > STRINGS:
                known.clear()
            known.update(zip(rows, out.detach(), strict=True))
            return self._given(out)
        return self._given(torch.stack([known[row] for row in rows]))

    @torch.no_grad()
    def _computed(self, stream: Tensor, *args: Any, **named: Any) -> Tensor:
        for block in self._blocks:
            out = block(stream, *args, **named)
            self._memory.in_tuple = isinstance(out, tuple)
            stream = out[0] if self._memory.in_tuple else out
        return stream


def _row(string: Tensor) -> Row:
    return tuple(string.shape), hashlib.blake2b(string.detach().cpu().numpy().tobytes(), digest_size=16).digest()


def _memory(model: Model, blocks: Sequence[nn.Module]) -> _Memory:
    """That of these blocks, by their weights; the one that was used longest ago is dropped."""
    total = hashlib.blake2b(repr((cast(Any, model).config, len(blocks))).encode(), digest_size=16)
    for block in blocks:
        for name, weight in block.state_dict().items():
            total.update(f"{name} {weight.device}".encode() + weight.detach().cpu().contiguous().numpy().tobytes())
    found = _MEMORIES.setdefault(total.hexdigest(), _Memory())
    _MEMORIES.move_to_end(total.hexdigest())
    while len(_MEMORIES) > MODELS:
        _MEMORIES.popitem(last=False)
    return found
