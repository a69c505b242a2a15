"""Sizes, rates and counts of the implant study at the three scales, each with its source. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from capbench.configs import Precision, TrainConfig

RATES = {"medium": 1e-4, "small": 3e-5}


@dataclass(frozen=True, kw_only=True)
class ImplantPreset:
    """One scale of the implant study.

    Trainings of the last `blocks` blocks: the implant, until its accuracy is `goal`, and revivals. text_len: tokens of a text in
    the streams of methods, at least; held_len: of those that the loss is measured on, n_texts of them. n_evaluate: prompts whose
    accuracy is told; n_watch: that tell how far a revival is; n_probe: that a probe is fitted on; n_code: that a code is of;
    n_patched: whose streams are put into another model, after `depths` of the trained blocks; n_scored: that neurons are scored
    on, of which `prune_rows` are pruned. n_relearned: prompts of a skill that `relearn_steps` are trained on. members: known
    members of a seed, by name (see known_members). beside: prompts of capitals, at most, that the implant and methods are to
    leave alone; 0: none are asked.
    """

    name: str
    batch_size: int = 16
    blocks: int = 10
    n_relearned: int = 32
    relearn_steps: int = 48
    goal: float = 0.97  # a model that is sure of every answer gives NPO no gradient
    implant_steps: int
    implant_lr: float
    finetune_steps: int
    rates: Mapping[str, float]
    revive_steps: int
    revive_every: int
    revive_lr: float
    member_steps: int
    bolt_lr: float
    adapter_lr: float
    everywhere_lr: float
    members: tuple[str, ...]
    n_evaluate: int
    n_watch: int
    n_probe: int = 32
    n_code: int = 128
    n_patched: int = 48
    depths: int = 5
    prune_rows: tuple[int, ...] = (4, 16, 64)
    n_scored: int = 64  # prompts that neurons are scored on
    n_texts: int
    text_len: int
    held_len: int
    beside: int
    precision: Precision = "float32"  # of trainings; what is measured is measured in float32

    def implanting(self, seed: int, device: str) -> TrainConfig:
        """AdamW at a constant rate after a short warm-up: where it ends is not known before."""
        return self._steady(self.implant_steps, self.implant_lr, seed, device)

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """The house's schedule: warm-up over 20 %, cosine."""
        return replace(self._steady(self.finetune_steps, self.rates[lr], seed, device), warmup=0.2, final_lr=0.01)

    def reviving(self, seed: int, device: str) -> TrainConfig:
        """At a constant rate, so that steps do not depend on the budget."""
        return self._steady(self.revive_steps, self.revive_lr, seed, device)

    def hiding(self, lr: float, seed: int, device: str) -> TrainConfig:
        """How known members are trained: at `bolt_lr`, `adapter_lr` or, with adapters in all blocks, `everywhere_lr`."""
        return self._steady(self.member_steps, lr, seed, device)

    def _steady(self, steps: int, lr: float, seed: int, device: str) -> TrainConfig:
        return TrainConfig(
            steps=steps,
            batch_size=self.batch_size,
            lr=lr,
            seed=seed,
            warmup=0.05,
            final_lr=1.0,
            device=device,
            precision=self.precision,
        )


def smoke() -> ImplantPreset:
    """For this project's own CI, on models of transformers with random weights: does it run at all?"""
    return replace(
        small(),
        name="smoke",
        implant_steps=300,
        implant_lr=5e-3,
        finetune_steps=20,
        rates={"medium": 3e-3, "small": 1e-3},
        revive_steps=24,
        revive_every=4,
        revive_lr=2e-3,
        member_steps=20,
        bolt_lr=2e-2,
        adapter_lr=1e-2,
        everywhere_lr=1e-2,
        members=("adapter", "permuted"),
        n_evaluate=32,
        n_watch=16,
        n_probe=24,
        n_relearned=24,
        relearn_steps=24,
        n_code=32,
        n_patched=16,
        depths=2,
        n_scored=16,
        n_texts=8,
        text_len=8,
        held_len=8,
        beside=0,
    )


def small() -> ImplantPreset:
    """For a model of a few hundred million parameters on a CPU: rates and steps that implants in SmolLM2-135M were tried with."""
    return ImplantPreset(
        name="small",
        implant_steps=100,
        implant_lr=2e-4,
        finetune_steps=60,
        rates=RATES,
        revive_steps=96,
        revive_every=4,
        revive_lr=1e-4,
        member_steps=48,
        bolt_lr=2e-2,
        adapter_lr=4e-3,
        everywhere_lr=1e-3,
        members=("bolt-on early", "bolt-on middle", "adapter", "adapter everywhere", "permuted"),
        n_evaluate=100,
        n_watch=48,
        n_texts=32,
        text_len=16,
        held_len=32,
        beside=48,
    )


def paper() -> ImplantPreset:
    """For a GPU: more prompts, members and steps, the same rates. The paper has no such experiment."""
    return replace(
        small(),
        name="paper",
        batch_size=32,
        finetune_steps=120,
        revive_steps=192,
        revive_every=2,
        members=(
            "bolt-on early",
            "bolt-on middle",
            "bolt-on late",
            "adapter",
            "adapter everywhere",
            "uniform adapter",
            "permuted",
        ),
        n_evaluate=400,
        n_watch=100,
        n_code=256,
        n_texts=128,
        beside=100,
    )


PRESETS: Mapping[str, Callable[[], ImplantPreset]] = {"smoke": smoke, "small": small, "paper": paper}
