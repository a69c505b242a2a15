"""Training steps to be timed: capbench's own training loop, and a loop around Hugging Face's GPT-2 of the same size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from capbench.configs import GptConfig, Precision, TrainConfig
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.studies.pcfg.preset import PcfgPreset, paper
from capbench.tasks.base import Batch, Task
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.training.loop import Fit, fit, observing
from capbench.training.stacking.together import Run, fit_stacked

_DRAWN = 16  # batches, as many as the training loop draws at once


def paper_282() -> PcfgPreset:
    """The paper's model and batches of 16 x 282 tokens (the paper's own prompts have 259 tokens)."""
    preset = paper()
    return replace(preset, setting=replace(preset.setting, text_len=273), batch_size=16)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A task whose strings are drawn already, so that a step is timed without its data: always the same 16 batches."""

    name: str
    vocab_size: int
    seq_len: int
    answer_pos: int
    answer_weight: float
    batch: Batch

    @classmethod
    def of(cls, task: Task, batch_size: int) -> Drawn:
        return cls(
            name=task.name,
            vocab_size=task.vocab_size,
            seq_len=task.seq_len,
            answer_pos=task.answer_pos,
            answer_weight=task.answer_weight,
            batch=task.sample(_DRAWN * batch_size, torch.Generator().manual_seed(0)),
        )

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """The strings that were drawn before."""
        if n != len(self.batch.tokens):
            raise ValueError(f"{n} strings asked for; {len(self.batch.tokens)} were drawn")
        return self.batch


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all sides train: sizes, strings, configuration. A call of what the methods give is `train.steps` steps."""

    model: GptConfig
    task: Drawn
    train: TrainConfig

    @classmethod
    def of(
        cls,
        preset: PcfgPreset,
        *,
        steps: int,
        device: str = "cpu",
        precision: Precision = "float32",
        task: Task | None = None,
    ) -> Setup:
        """Pretraining under the high prior, or another task."""
        train = replace(preset.pretraining(steps, 0, device), precision=precision)
        drawn = Drawn.of(task or pretraining(preset.setting, preset.priors["high"]), preset.batch_size)
        return cls(model=preset.model(preset.setting), task=drawn, train=train)

    def new_model(self, seed: int = 0) -> Gpt:
        return Gpt.initialised(self.model, torch.Generator().manual_seed(seed))

    def ours(self) -> Callable[[], Fit]:
        """`capbench.training.loop.fit`."""
        model = self.new_model()
        return lambda: fit(model, self.task, self.train)

    def runs(self, models: int) -> list[Run]:
        """Trainings of this many models, which differ in seed and learning rate."""
        lr = self.train.lr
        return [
            Run(model=self.new_model(i), task=self.task, config=replace(self.train, lr=lr / (1 + i / 8), seed=i))
            for i in range(models)
        ]

    def stacked(self, models: int) -> Callable[[], list[Fit]]:
        """This many models in one stack."""
        runs = self.runs(models)
        return lambda: fit_stacked(runs)

    def one_by_one(self, models: int) -> Callable[[], list[Fit]]:
        """This many models one after another."""
        runs = self.runs(models)
        return lambda: [fit(run.model, run.task, run.config) for run in runs]

    def huggingface(self, *, dropout: bool = True) -> Callable[[], None]:
        """Steps of GPT-2 with torch's own AdamW and clipping, as they ship. Its loss is that of all tokens."""
        train = self.train
        model = gpt2(self.model, dropout=dropout).to(train.device).train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=train.lr, betas=train.betas, weight_decay=train.weight_decay
        )
        batches = [part.to(train.device) for part in self.task.batch.tokens.split(train.batch_size)]
        kind, half = torch.device(train.device).type, train.precision == "bfloat16"

        def step(tokens: Tensor) -> None:
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
                loss = model(input_ids=tokens, labels=tokens).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), train.grad_clip)
            optimizer.step()
            loss.item()

        def work() -> None:
            for i in range(train.steps):
                step(batches[i % len(batches)])

        return work


def gpt2(config: GptConfig, *, dropout: bool = True) -> Any:
    """Hugging Face's GPT-2 with these sizes; all else as it ships (dropout .1, tied embeddings)."""
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GPT2LMHeadModel(sizes)


def products(
    shapes: Sequence[tuple[int, int, int]], *, calls: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Callable[[], None]:
    """One matrix product of each shape (rows, inner, columns), `calls` times, into memory that is there."""
    rng = torch.Generator().manual_seed(0)
    made = []
    for rows, inner, columns in shapes:
        a, b = (torch.randn(size, generator=rng).to(device, dtype) for size in ((rows, inner), (inner, columns)))
        made.append((a, b, torch.empty(rows, columns, device=device, dtype=dtype)))

    def work() -> None:
        for _ in range(calls):
            for a, b, out in made:
                torch.mm(a, b, out=out)
        if device != "cpu":
            torch.cuda.synchronize()

    return work


def steady(train: Callable[[], object], *, skip: int) -> float:
    """Seconds per step of a training (of each step of all, for a stack), from the one after the first `skip` to the last.

    What comes before the first step (processes that draw data) and with the first ones (memory, graphs) is left out.
    """
    at: dict[int, float] = {}

    def observe(step: int, model: Model) -> bool:
        at[step] = time.perf_counter()  # of a stack the last model's: the step is over then
        return False

    with observing(observe):
        train()
    last = max(at)
    return (at[last] - at[skip]) / (last - skip)
