"""What a study is, and what studies that fine-tune share: reviving, and what is watched meanwhile (App. C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args

from capbench.configs import TrainConfig
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import FineTune, Revive, Step, Watch
from capbench.studies.seeds import subseed
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.splits import Split
from capbench.verdicts.tools import Toolbox


class Preset(Protocol):
    """The numbers of a study at one scale: a frozen dataclass, since they are part of the keys of its readings."""

    @property
    def name(self) -> str:
        """The scale."""
        ...


class Study(Protocol):
    """An experiment at one scale, with one method: what is asked of every study, whatever its models are.

    A study is best a frozen dataclass: the keys of what is read off its models are made of its fields.
    """

    @property
    def preset(self) -> Preset:
        """The scale's numbers."""
        ...

    @property
    def device(self) -> str:
        """Where its models are trained and read."""
        ...

    @property
    def model_name(self) -> str:
        """Which model, in a report."""
        ...

    @property
    def task_name(self) -> str:
        """Which task, in a report. No two studies share one."""
        ...

    @property
    def toolbox(self) -> Toolbox:
        """The tools that judge its models."""
        ...

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters with the numbers behind them."""
        ...


Attacks = Literal["default", "all"]  # what is tried to bring a capability back
ATTACKS: tuple[Attacks, ...] = get_args(Attacks)
PARTS = ("preset", "device", "model_name", "task_name", "toolbox", "protocol")


class FineTuningPreset(Preset, Protocol):
    """The numbers that every study that fine-tunes needs. goal: the accuracy at which revival is reached."""

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates by the paper's names."""
        ...

    @property
    def finetune_steps(self) -> int: ...
    @property
    def revive_steps(self) -> int: ...
    @property
    def revive_every(self) -> int: ...
    @property
    def watch_every(self) -> int: ...
    @property
    def n_watch(self) -> int: ...
    @property
    def goal(self) -> float: ...
    @property
    def middle_rates(self) -> Mapping[Literal["adamw", "sgd"], float]:
        """By optimizer, the rate around which attacks choose theirs."""
        ...

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """How to fine-tune at one of the rates."""
        ...

    def reviving(self, lr: str, seed: int, device: str) -> TrainConfig:
        """How to revive at one of the rates."""
        ...


@dataclass(frozen=True, kw_only=True)
class FineTuningStudy:
    """One preset and one fine-tuning method. Subclasses name the two operands and give base models and evaluations.

    preset: a scale's numbers for the setup. method None: base models only (no test of this study fine-tunes). toolbox: no
    part of what is measured, so that it enters no key. attacks: which curves a claim asks for; they have keys of their own.
    """

    preset: FineTuningPreset
    method: MethodRef | None = None
    device: str = "cpu"
    toolbox: Toolbox = field(default=Toolbox(), compare=False, repr=False)
    attacks: Attacks = "default"

    @property
    def model_name(self) -> str:
        """Which model, in a report."""
        raise NotImplementedError

    @property
    def task_name(self) -> str:
        """Which task, in a report."""
        raise NotImplementedError

    @property
    def operands(self) -> tuple[Any, Any]:
        """O_PT and O_FT: the operands of the pretraining and of the fine-tuning task."""
        raise NotImplementedError

    def evaluation(self, operand: Any, *, c_te: float | None, split: Split = "evaluate") -> Task:
        """The task of an operand on strings with the spurious correlation at rate c_te (None: natural strings)."""
        raise NotImplementedError

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the number of steps behind the paper's name of a rate."""
        if "lr" not in case:
            return dict(case)
        return {**case, "eta": self.preset.rates[case["lr"]], "steps": self.preset.finetune_steps}

    def revival(self, start: Step, seed: int, *, lr: str) -> Revive:
        """Full fine-tuning on O_PT, natural strings: reFT from a fine-tuned model, Scr.+FT from a model never taught O_PT,

        Scr. from a random initialisation. Same budget, data and evaluation for all.
        """
        o_pt, _ = self.operands
        watched = Watch(
            name="O_PT",
            task=self.evaluation(o_pt, c_te=0),
            n=self.preset.n_watch,
            seed=subseed(seed, "revival watch"),
        )
        return Revive(
            start=start,
            task=self.evaluation(o_pt, c_te=None, split="train"),
            train=self.preset.reviving(lr, subseed(seed, "revive"), self.device),
            watch=watched,
            watch_every=self.preset.revive_every,
            goal=self.preset.goal,
        )

    def others(self) -> Task | None:
        """What pretraining taught besides the family that is fine-tuned; None if it taught nothing else."""
        return None

    def retain_only_revival(self, start: Step, seed: int, *, lr: str) -> Revive:
        """`revival` without any example of O_PT: trained on the other tasks of pretraining alone, watched on O_PT.

        What comes back that way was there already. Half the steps of `revival`. Raises ValueError where pretraining taught
        nothing else.
        """
        others = self.others()
        if others is None:
            raise ValueError("there is nothing to retain: pretraining taught only the task that is fine-tuned")
        plain = self.revival(start, seed, lr=lr)
        return replace(plain, task=others, train=replace(plain.train, steps=plain.train.steps // 2))

    def tuned(self, base: Step, task: FineTuningTask, seed: int, *, lr: str) -> FineTune:
        """A base model after the method under test."""
        if self.method is None:
            raise ValueError("this study has no fine-tuning method")
        return FineTune(
            base=base,
            method=self.method,
            task=task,
            train=self.preset.finetuning(lr, subseed(seed, "finetune"), self.device),
            watch=self._watches(seed),
            watch_every=self.preset.watch_every,
        )

    def _watches(self, seed: int) -> tuple[Watch, ...]:
        return tuple(
            Watch(
                name=f"{name}, C_Te {c_te}",
                task=self.evaluation(operand, c_te=c_te),
                n=self.preset.n_watch,
                seed=subseed(seed, f"watch {c_te}"),
            )
            for name, operand in zip(("O_PT", "O_FT"), self.operands, strict=True)
            for c_te in (0, 1)
        )
