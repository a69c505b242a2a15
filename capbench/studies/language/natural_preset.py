"""Rates, steps and attacks of the natural study at the three scales. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from capbench.configs import Precision, TrainConfig
from capbench.measure.attacks.effort import Effort
from capbench.studies.language.implant_preset import RATES


@dataclass(frozen=True, kw_only=True)
class NaturalPreset:
    """One scale of the study of what a model has from pretraining.

    The method takes `finetune_steps` steps of `batch_size` strings, of text_len tokens at least. effort: of the attacks;
    attacks: their names, () for all.
    """

    name: str
    batch_size: int = 16
    finetune_steps: int
    rates: Mapping[str, float]
    text_len: int
    effort: Effort
    attacks: tuple[str, ...] = ()
    precision: Precision = "float32"  # of trainings; what is measured is measured in float32

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """How the method trains: warm-up over 20 %, cosine."""
        return TrainConfig(
            steps=self.finetune_steps,
            batch_size=self.batch_size,
            lr=self.rates[lr],
            seed=seed,
            device=device,
            precision=self.precision,
        )


def smoke() -> NaturalPreset:
    """For this project's own CI, on models of transformers with random weights: does it run at all?"""
    few = Effort(
        most={"train": 60, "select": 24, "evaluate": 60},
        texts=8,
        length=12,
        rates=(3e-3, 1e-2, 1e-2),
        low_rank_rate=1e-2,
        steps=12,
        shots=1,
        places=2,
        rows=(4,),
    )
    return replace(
        small(),
        name="smoke",
        finetune_steps=20,
        rates={"medium": 3e-3, "small": 1e-3},
        text_len=8,
        effort=few,
    )


def small() -> NaturalPreset:
    """For a model of a few hundred million parameters on a CPU."""
    return NaturalPreset(name="small", finetune_steps=60, rates=RATES, text_len=16, effort=Effort())


def paper() -> NaturalPreset:
    """For a GPU: more items, text and steps. The paper has no such experiment."""
    more = Effort(
        most={"train": 2000, "select": 200, "evaluate": 1000},
        texts=128,
        steps=48,
        places=10,
        scales=(0.5, 1.0, 2.0, 4.0),
    )
    return replace(small(), name="paper", batch_size=32, finetune_steps=120, effort=more)


PRESETS: Mapping[str, Callable[[], NaturalPreset]] = {"smoke": smoke, "small": small, "paper": paper}
