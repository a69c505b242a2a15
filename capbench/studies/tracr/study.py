"""The paper's Tracr experiments as steps: compiled models, perturbed, fine-tuned, revived, and their baselines (App. C.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from capbench.pipeline.steps import Compile, FineTune, Perturb
from capbench.studies.base import FineTuningStudy
from capbench.studies.seeds import subseed
from capbench.studies.tracr.preset import TracrPreset
from capbench.tasks.correlation import Correlation
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.splits import Split
from capbench.tasks.tracr.tasks import CounterTask, MaxTask

PROGRAMS = "capbench.tasks.tracr.programs"


@dataclass(frozen=True, kw_only=True)
class TracrStudy(FineTuningStudy):
    """What both experiments share. Subclasses say which task; o_pt, o_ft: its operand before and after fine-tuning."""

    preset: TracrPreset

    # What a subclass says

    o_pt: Any = None
    o_ft: Any = None
    program: str = ""

    @property
    def correlation_offset(self) -> int:
        """q of the spurious correlation."""
        raise NotImplementedError

    def strings(self, operand: Any, correlation: Correlation | None, split: Split) -> CounterTask | MaxTask:
        """The task of an operand."""
        raise NotImplementedError

    # What follows from it

    @property
    def model_name(self) -> str:
        return f"{self.program.replace('_', '-')}-{self.evaluation(self.o_pt, c_te=None).max_content}"

    @property
    def task_name(self) -> str:
        return f"tracr {self.program.replace('_', ' ')} {self.o_pt} to {self.o_ft}"

    @property
    def operands(self) -> tuple[Any, Any]:
        return self.o_pt, self.o_ft

    def compiled(self, operand: Any) -> Compile:
        """The program of an operand, compiled: its weights are known one by one."""
        task = self.strings(operand, None, "train")
        return Compile(
            program=f"{PROGRAMS}:{self.program}",
            arguments=(operand,),
            vocabulary=tuple(task.alphabet),
            max_seq_len=task.max_content,
            bos=task.bos,
            pad=task.pad,
        )

    def base(self, seed: int) -> Perturb:
        """The compiled model for O_PT with a little noise: what is fine-tuned."""
        return Perturb(start=self.compiled(self.o_pt), scale=self.preset.noise, seed=subseed(seed, "perturb"))

    def never(self, seed: int) -> Perturb:
        """The compiled model for O_FT, which never had the capability for O_PT: Scr.+FT starts here (App. C.1)."""
        return Perturb(start=self.compiled(self.o_ft), scale=self.preset.noise, seed=subseed(seed, "perturb never"))

    def finetuned(self, seed: int, *, c_tr: float, lr: str) -> FineTune:
        """The base model after the method under test."""
        return self.tuned(self.base(seed), self._finetuning(c_tr), seed, lr=lr)

    def twin(self, seed: int, *, c_tr: float, lr: str) -> FineTune:
        """The model compiled for O_FT after the same method: what the method leaves where there was nothing to lose.

        What it is to retain is the count for O_FT, all that it knows: that for O_PT would teach it what it never had.
        """
        task = replace(self._finetuning(c_tr), retain=self.strings(self.o_ft, None, "train"))
        return self.tuned(self.never(seed), task, seed, lr=lr)

    def evaluation(self, operand: Any, *, c_te: float | None, split: Split = "evaluate") -> CounterTask | MaxTask:
        """The task of an operand on strings with the spurious correlation at rate c_te (None: not looked at)."""
        return self.strings(operand, None if c_te is None else self._correlation(c_te), split)

    def _finetuning(self, c_tr: float) -> FineTuningTask:
        return self.strings(self.o_pt, None, "train").finetuning(self.o_ft, c_tr=c_tr, q=self.correlation_offset)

    def _correlation(self, rate: float) -> Correlation:
        return Correlation(o_pt=self.o_pt, o_ft=self.o_ft, rate=rate, q=self.correlation_offset)


@dataclass(frozen=True, kw_only=True)
class TracrCounter(TracrStudy):
    """Compiled to count 'a', fine-tuned to count 'b'; spurious correlation count(b) = count(a) + 1."""

    o_pt: str = "a"
    o_ft: str = "b"
    program: str = "count"

    @property
    def correlation_offset(self) -> int:
        return 1

    def strings(self, operand: str, correlation: Correlation | None, split: Split) -> CounterTask:
        low, high = self.preset.counter_content
        return CounterTask(
            operand=operand,
            correlation=correlation,
            split=split,
            min_content=low,
            max_content=high,
            largest_count=self.preset.largest_count,
        )


@dataclass(frozen=True, kw_only=True)
class TracrMax(TracrStudy):
    """Compiled to find the 5th largest letter, fine-tuned to find the 7th; correlation: the 7th is q letters after the 5th."""

    o_pt: int = 5
    o_ft: int = 7
    program: str = "kth_largest"

    @property
    def correlation_offset(self) -> int:
        return self.preset.max_offset

    def strings(self, operand: int, correlation: Correlation | None, split: Split) -> MaxTask:
        low, high = self.preset.max_content
        return MaxTask(rank=operand, correlation=correlation, split=split, min_content=low, max_content=high)
