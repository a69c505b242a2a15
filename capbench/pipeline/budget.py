"""The cost of a fine-tuning: optimizer steps and tokens, counted independently of the method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from capbench.models.base import passes, steps_elsewhere


class Budget:
    """steps: of any optimizer. tokens: passed through a model with gradients; a string counts each time it is used.

    forward_tokens: passed without gradients (through a reference model, or to find which weights matter).
    """

    def __init__(self) -> None:
        self.steps = self.tokens = self.forward_tokens = 0
        self._paused = False

    def as_json(self) -> dict[str, int]:
        """The three counts by name."""
        return {"steps": self.steps, "tokens": self.tokens, "forward_tokens": self.forward_tokens}

    def restore(self, counts: Mapping[str, int]) -> None:
        """Continue from these counts, as given by `as_json`."""
        self.steps, self.tokens, self.forward_tokens = counts["steps"], counts["tokens"], counts["forward_tokens"]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count in this block: evaluations for a curve are not part of the method."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def on_pass(self, tokens: torch.Tensor) -> None:
        """Count the tokens of one pass through a model."""
        if self._paused:
            return
        if torch.is_grad_enabled():
            self.tokens += tokens.numel()
        else:
            self.forward_tokens += tokens.numel()

    def on_step(self) -> None:
        """Count one step of an optimizer."""
        self.steps += 1

    def _on_any_step(self, *_: Any) -> None:
        if _counting.get() is self:  # not a step of another training in this process
            self.on_step()


_counting: ContextVar[Budget | None] = ContextVar("capbench_counting", default=None)


@contextmanager
def counting() -> Iterator[Budget]:
    """Count everything trained in this block."""
    budget = Budget()
    with ExitStack() as stack:
        hook = register_optimizer_step_post_hook(budget._on_any_step)
        stack.callback(hook.remove)
        stack.callback(passes.reset, passes.set(budget.on_pass))
        stack.callback(steps_elsewhere.reset, steps_elsewhere.set(budget.on_step))
        stack.callback(_counting.reset, _counting.set(budget))
        yield budget
