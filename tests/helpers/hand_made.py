"""A task and models small enough to know everything about: what the tests of the measurements are played on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from capbench.models.base import Activations, Model
from capbench.tasks.base import IGNORE, Batch

SYMBOLS = 8  # also the vocabulary; 0 is never drawn, so that it can stand for "something else"


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Strings `symbol, 0, answer`; the answer is the symbol again or, if `always` is given, that token."""

    always: int | None = None
    name: str = "repeat"
    vocab_size: int = SYMBOLS
    seq_len: int = 3
    answer_pos: int = 1
    answer_weight: float = 1.0

    def batch(self, symbols: list[int]) -> Batch:
        """Strings with these symbols and their right answers."""
        tokens = torch.zeros(len(symbols), 3, dtype=torch.long)
        tokens[:, 0] = torch.tensor(symbols)
        tokens[:, 2] = tokens[:, 0] if self.always is None else self.always
        targets = torch.full_like(tokens, IGNORE)
        targets[:, 1] = tokens[:, 2]
        return Batch(tokens, targets)

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        return self.batch(torch.randint(1, SYMBOLS, (n,), generator=rng).tolist())


class Knows(Model):
    """Repeats the symbols that it knows and answers 0 to all others. `seen`: size of each batch it was asked about."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known = torch.tensor([symbol in known for symbol in range(SYMBOLS)])
        self.seen: list[int] = []
        self.modes: list[bool] = []

    def forward(self, tokens: Tensor) -> Tensor:
        self.seen.append(len(tokens))
        self.modes.append(self.training)
        answers = torch.where(self.known[tokens[:, 0]], tokens[:, 0], 0)
        return nn.functional.one_hot(answers, SYMBOLS).float().unsqueeze(1).expand(-1, tokens.shape[1], -1)


class Wrapped(Model):
    """Knows every answer, but wrappers push the answer 0 for the symbols that they fire on.

    On top of the identity (`content`, its rows are the capability) stand one wrapper neuron per set in `wrappers` and
    `idle` neurons that nothing reads. Row i of `wrapper` fires on the symbols of wrappers[i] by its weights; its bias,
    which pruning leaves, is too small to hide anything.
    """

    def __init__(self, *wrappers: set[int], content: float = 5.0, idle: int = 200) -> None:
        super().__init__()
        self.content = nn.Linear(SYMBOLS, SYMBOLS, bias=False)
        self.wrapper = nn.Linear(SYMBOLS, max(1, len(wrappers)))
        self.idle = nn.Linear(SYMBOLS, idle)
        with torch.no_grad():
            self.content.weight.copy_(content * torch.eye(SYMBOLS))
            self.wrapper.weight.fill_(-20.0)
            self.wrapper.bias.fill_(1.0 if wrappers else 0.0)
            for row, symbols in enumerate(wrappers):
                self.wrapper.weight[row, sorted(symbols)] = 20.0

    def forward(self, tokens: Tensor) -> Tensor:
        x = nn.functional.one_hot(tokens[:, 0], SYMBOLS).float()
        push = self.wrapper(x).relu().sum(-1, keepdim=True)
        zero = nn.functional.one_hot(torch.zeros(len(tokens), dtype=torch.long), SYMBOLS)
        logits = self.content(x) + push * zero + 0 * self.idle(x).sum(-1, keepdim=True)
        return logits.unsqueeze(1).expand(-1, tokens.shape[1], -1)


class Linear(Model):
    """logits = W onehot(symbol) + b, the same at every position; its residual stream is onehot(symbol), then the logits."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.map = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        with torch.no_grad():
            self.map.weight.copy_(weight)
            if bias is not None:
                self.map.bias.copy_(bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.run_with_cache(tokens)[0]

    def run_with_cache(self, tokens: Tensor, *, attention: bool = False) -> tuple[Tensor, Activations]:
        x = nn.functional.one_hot(tokens, self.map.in_features).float()
        logits = self.map(x[:, :1]).expand(-1, tokens.shape[1], -1)
        return logits, Activations(torch.stack([x, logits]), None)
