"""Training steps to be timed: this project's own training loop, and a loop around Hugging Face's GPT-2 of the same size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from capbench.configs import GptConfig, TrainConfig
from capbench.models.gpt import Gpt
from capbench.presets.pcfg import PcfgPreset
from capbench.tasks.base import Batch, Task
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.training import fit

BATCH = {"paper": 16, "small": 96, "smoke": 96}  # the paper's on a CPU: findings were measured with 16
_DRAWN = 16  # batches


@dataclass(frozen=True)
class Drawn:
    """A task whose strings are drawn already, so that a step is timed without its data; always the same strings."""

    task: Task
    batch: Batch

    @classmethod
    def of(cls, task: Task, batch_size: int) -> Drawn:
        return cls(task, task.sample(_DRAWN * batch_size, torch.Generator().manual_seed(0)))

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def vocab_size(self) -> int:
        return self.task.vocab_size

    @property
    def seq_len(self) -> int:
        return self.task.seq_len

    @property
    def answer_pos(self) -> int:
        return self.task.answer_pos

    @property
    def answer_weight(self) -> float:
        return self.task.answer_weight

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """The strings that were drawn before."""
        if n != len(self.batch.tokens):
            raise ValueError(f"{n} strings asked for; {len(self.batch.tokens)} were drawn")
        return self.batch


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What both sides train: sizes, strings, configuration."""

    model: GptConfig
    task: Drawn
    train: TrainConfig

    @classmethod
    def pretraining(cls, preset: PcfgPreset, *, steps: int, batch: int | None = None, device: str = "cpu") -> Setup:
        """Pretraining of a preset under the high prior, `steps` steps a round."""
        size = batch or BATCH.get(preset.name, preset.batch_size)
        return cls(
            model=preset.gpt(preset.setting),
            task=Drawn.of(pretraining(preset.setting, preset.priors["high"]), size),
            train=replace(preset.pretraining(steps, 0, device), batch_size=size),
        )

    def ours(self) -> Callable[[], object]:
        """So many steps of `capbench.training.fit`."""
        model = Gpt.initialised(self.model, torch.Generator().manual_seed(0))
        return lambda: fit(model, self.task, self.train)

    def huggingface(self, *, dropout: bool = True, autocast: torch.dtype | None = None) -> Callable[[], object]:
        """As many steps of GPT-2 as it ships, with torch's own AdamW and clipping. Its loss is that of all tokens."""
        model = gpt2(self.model, dropout=dropout).to(self.train.device).train()
        rate, betas = self.train.lr, self.train.betas
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=betas, weight_decay=self.train.weight_decay)
        tokens = [part.to(self.train.device) for part in self.task.batch.tokens.split(self.train.batch_size)]

        def work() -> None:
            for i in range(self.train.steps):
                step(tokens[i % len(tokens)])

        def step(batch: Tensor) -> None:
            kind = torch.device(self.train.device).type
            with torch.autocast(kind, dtype=autocast, enabled=autocast is not None):
                loss = model(input_ids=batch, labels=batch).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.train.grad_clip)
            optimizer.step()
            float(loss.detach())

        return work


def gpt2(config: GptConfig, *, dropout: bool = True) -> Any:
    """Hugging Face's GPT-2 with these sizes; everything else as it ships (dropout .1, tied embeddings)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    off = {} if dropout else {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    sizes = GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.seq_len,
        n_embd=config.d_model,
        n_layer=config.n_blocks,
        n_head=config.n_heads,
        bos_token_id=0,
        eos_token_id=0,
        **off,
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(sizes)


def product(size: int = 1024, *, calls: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """Square matrix products: the machine's own rate."""
    return products((size, size, size), calls=calls, device=device, dtype=dtype)


def products(
    shape: tuple[int, int, int], *, calls: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Callable[[], object]:
    """Products (rows, inner) x (inner, columns), `calls` of them in a call, into memory that is there."""
    rows, inner, columns = shape
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(rows, inner, generator=rng).to(device, dtype)
    b = torch.randn(inner, columns, generator=rng).to(device, dtype)
    out = torch.empty(rows, columns, device=device, dtype=dtype)

    def work() -> None:
        for _ in range(calls):
            torch.mm(a, b, out=out)

    return work
