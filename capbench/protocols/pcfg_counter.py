"""The paper's PCFG Counter experiment as steps: base models, fine-tuned models, revivals and their baselines (App. C.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from capbench.methods.registry import MethodRef
from capbench.pipeline.steps import FineTune, Initialise, Pretrain, Revive, Step, Watch
from capbench.presets.pcfg import PcfgPreset
from capbench.protocols.cases import with_numbers
from capbench.protocols.seeds import subseed
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg import PcfgTask, counter_finetuning, pretraining
from capbench.tasks.splits import Split

O_PT, O_FT = "a", "b"  # operands of the pretraining and of the fine-tuning task
TAUGHT = 0.1  # an operand at or above this prior counts as taught, below it as (nearly) never seen


@dataclass(frozen=True, kw_only=True)
class PcfgCounter:
    """One preset and one fine-tuning method: gives every model of the experiment as a step, by seed.

    method None: base models only (no test of this study fine-tunes).
    """

    preset: PcfgPreset
    method: MethodRef | None = None
    device: str = "cpu"

    @property
    def model_name(self) -> str:
        p = self.preset
        return f"gpt-{p.n_blocks}x{p.d_model}"

    @property
    def task_name(self) -> str:
        return f"pcfg counter {O_PT} to {O_FT}"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the number of steps behind the paper's name of a rate."""
        return with_numbers(case, self.preset.rates, self.preset.finetune_steps)

    # Models

    def prior(self, name: str) -> Mapping[str, float]:
        """The operand prior of a name; 'never' is the prior of a model never taught O_PT."""
        return {O_FT: 1.0} if name == "never" else self.preset.priors[name]

    def taught(self, prior: str) -> tuple[str, ...]:
        """The operands that a base model of this prior was taught."""
        return tuple(operand for operand, p in self.prior(prior).items() if p >= TAUGHT)

    def initialised(self, seed: int) -> Initialise:
        """A random initialisation: the Scr. baseline's start."""
        return Initialise(model=self.preset.gpt, seed=subseed(seed, "initialise"))

    def base(self, seed: int, *, prior: str) -> Pretrain:
        """A pretrained model. prior 'never': pretrained on O_FT only (Scr.+FT's start, and the never-taught control)."""
        return Pretrain(
            start=self.initialised(seed),
            task=pretraining(self.preset.setting, self.prior(prior)),
            train=self.preset.pretraining(subseed(seed, "pretrain"), self.device),
            watch=self._watches(seed),
        )

    def finetuned(self, seed: int, *, prior: str, c_tr: float, lr: str) -> FineTune:
        """The base model after the method under test."""
        if self.method is None:
            raise ValueError("this study has no fine-tuning method")
        return FineTune(
            base=self.base(seed, prior=prior),
            method=self.method,
            task=counter_finetuning(self.preset.setting, self.prior(prior), o_pt=O_PT, o_ft=O_FT, c_tr=c_tr),
            train=self.preset.finetuning(lr, subseed(seed, "finetune"), self.device),
            watch=self._watches(seed),
        )

    def revival(self, start: Step, seed: int, *, lr: str) -> Revive:
        """Full fine-tuning on O_PT, natural strings: reFT from a fine-tuned model, Scr.+FT from `base(prior='never')`,

        Scr. from `initialised`. Same budget, data and evaluation for all three.
        """
        watched = Watch(
            name="O_PT", task=self.evaluation(O_PT, c_te=0), n=self.preset.n_watch, seed=subseed(seed, "revival watch")
        )
        return Revive(
            start=start,
            task=PcfgTask(setting=self.preset.setting, prior={O_PT: 1.0}),
            train=self.preset.reviving(lr, subseed(seed, "revive"), self.device),
            watch=watched,
            watch_every=self.preset.revive_every,
            goal=self.preset.goal,
        )

    # Evaluation

    def evaluation(self, operand: str, *, c_te: float | None, split: Split = "evaluate") -> PcfgTask:
        """Count `operand` on strings with the spurious correlation at rate c_te (None: natural strings)."""
        correlation = None if c_te is None else Correlation(o_pt=O_PT, o_ft=O_FT, rate=c_te)
        return replace(
            PcfgTask(setting=self.preset.setting, prior={operand: 1.0}), correlation=correlation, split=split
        )

    def _watches(self, seed: int) -> tuple[Watch, ...]:
        return tuple(
            Watch(
                name=f"{name}, C_Te {c_te}",
                task=self.evaluation(operand, c_te=c_te),
                n=self.preset.n_watch,
                seed=subseed(seed, f"watch {name} {c_te}"),
            )
            for name, operand in (("O_PT", O_PT), ("O_FT", O_FT))
            for c_te in (0, 1)
        )
