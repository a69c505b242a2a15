"""Sizes, rates and counts of the Tracr experiments at the three scales, each with its source. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from capbench.configs import TrainConfig

# Learning rates of the paper (App. C.1), by its names: eta_L, eta_M, eta_S, eta_VS.
RATES: Mapping[str, float] = {"large": 1e-1, "medium": 1e-2, "small": 1e-3, "very-small": 1e-4}


@dataclass(frozen=True, kw_only=True)
class TracrPreset:
    """One scale of the Tracr experiments; steps, batch size and rates are the paper's at every scale but smoke.

    counter_content, max_content: fewest and most letters of a string; the model is compiled for the most.
    largest_count: greatest number of an operand in a Counter string. noise: standard deviation added to all weights.
    Counts of strings: n_evaluate per accuracy, n_select for fitting a read-out, n_search for choosing weights, n_watch per
    point of a curve, n_attention per attention map.
    """

    name: str
    counter_content: tuple[int, int]
    largest_count: int
    max_content: tuple[int, int]
    max_offset: int = 3  # q of the Max-identifier's correlation: 7th - 5th largest letter (paper: 1 and 3)
    noise: float
    finetune_steps: int = 10_000
    revive_steps: int = 3_000
    revive_every: int = 50
    batch_size: int = 96
    rates: Mapping[str, float] = field(default_factory=lambda: RATES)
    goal: float = 0.95
    prune_ks: tuple[int, ...] = (1, 2, 3, 4)
    prune_most: int = 4  # Fig. 55-58: one to four weights restore the count
    prune_search: int = 150  # candidates of the search for them
    n_search: int = 256
    random_draws: int = 5
    n_evaluate: int = 1000
    n_select: int = 1000
    n_watch: int = 256
    n_attention: int = 256

    @property
    def middle_rates(self) -> Mapping[Literal["adamw", "sgd"], float]:
        """By optimizer, the rate around which attacks choose theirs."""
        return {"sgd": self.rates["medium"], "adamw": self.rates["small"]}

    @property
    def watch_every(self) -> int:
        """Steps of fine-tuning between points of its curves."""
        return max(1, self.finetune_steps // 25)

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """SGD with momentum, warm-up over 20 %, cosine to 1/100 (App. C.1), gradients clipped at norm 1.

        The paper does not mention clipping. Without it 1e-1 and, where the shortcut is learnt, 1e-2 diverge: Tracr's weights
        of 100 make gradient norms in the hundreds.
        """
        return TrainConfig(
            steps=self.finetune_steps,
            batch_size=self.batch_size,
            lr=self.rates[lr],
            seed=seed,
            optimizer="sgd",
            device=device,
        )

    def reviving(self, lr: str, seed: int, device: str) -> TrainConfig:
        """As fine-tuning, with its own budget of steps; the whole schedule fits into it."""
        return replace(self.finetuning(lr, seed, device), steps=self.revive_steps)


def smoke() -> TracrPreset:
    """For this project's own CI: short strings, fewer steps."""
    return replace(
        small(),
        name="smoke",
        counter_content=(6, 10),
        largest_count=4,
        max_content=(8, 10),
        finetune_steps=4_000,
        revive_steps=1_500,
        n_evaluate=500,
    )


def small() -> TracrPreset:
    """The default: the paper's protocol on strings of up to 16 letters (the paper's have about 45).

    The paper's noise of 1e-3 takes the compiled Counter's accuracy from 1 to between 0 and .8 (depending on the seed): MLP
    activations of up to 100 and attention scores scaled by 100 amplify it. 1e-4 leaves it at 1, which is the paper's intent.
    """
    return TracrPreset(name="small", counter_content=(8, 16), largest_count=7, max_content=(9, 16), noise=1e-4)


def paper() -> TracrPreset:
    """Strings of up to 45 letters. Counts stop at 9: at this length Tracr's own approximation is wrong from 10 on."""
    return replace(
        small(),
        name="paper",
        counter_content=(20, 45),
        largest_count=9,
        max_content=(9, 20),
        noise=3e-5,
        revive_steps=10_000,
    )


PRESETS: Mapping[str, Callable[[], TracrPreset]] = {"smoke": smoke, "small": small, "paper": paper}
