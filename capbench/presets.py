"""Every size, rate and count of the three scales, each with its source. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from capbench.configs import GptConfig, TrainConfig
from capbench.tasks.pcfg import PcfgSetting

# Operand priors of the paper (App. C.2), most to least skewed; 'low' and 'high' are its weak and strong relevance.
PRIORS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "low": {"a": 0.999, "b": 0.001, "c": 0.0},
        "0.99": {"a": 0.99, "b": 0.01, "c": 0.0},
        "0.9": {"a": 0.9, "b": 0.1, "c": 0.0},
        "0.7": {"a": 0.7, "b": 0.2, "c": 0.1},
        "high": {"a": 0.5, "b": 0.3, "c": 0.2},
    }
)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One scale of the PCFG experiments.

    rates: fine-tuning learning rates by the paper's names (eta_L, eta_M, eta_S). Counts of strings: n_evaluate per
    accuracy, n_select for choosing neurons and blocks, n_watch per point of a curve, n_probe per description length.
    """

    name: str
    setting: PcfgSetting
    d_model: int
    n_blocks: int
    n_heads: int
    activation: str
    batch_size: int
    pretrain_steps: int
    pretrain_lr: float
    finetune_steps: int
    rates: Mapping[str, float]
    revive_steps: int
    revive_every: int
    seeds: int = 3
    goal: float = 0.95  # revival is reached at this accuracy
    prune_ks: tuple[int, ...] = (1, 2, 3, 5, 8, 10, 15)  # Fig. 7: 5–15 neurons suffice
    random_draws: int = 5
    n_evaluate: int = 512
    n_select: int = 512
    n_watch: int = 256
    probe_blocks: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    priors: Mapping[str, Mapping[str, float]] = field(default=PRIORS, repr=False)

    @property
    def gpt(self) -> GptConfig:
        return GptConfig(
            vocab_size=len(self.setting.vocabulary),
            seq_len=self.setting.seq_len,
            d_model=self.d_model,
            n_blocks=self.n_blocks,
            n_heads=self.n_heads,
            activation="relu" if self.activation == "relu" else "gelu",
        )

    def pretraining(self, seed: int, device: str) -> TrainConfig:
        """AdamW, warm-up over 20 %, cosine (App. C.2)."""
        return TrainConfig(
            steps=self.pretrain_steps, batch_size=self.batch_size, lr=self.pretrain_lr, seed=seed, device=device
        )

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """As pretraining, at one of the fine-tuning rates."""
        return TrainConfig(
            steps=self.finetune_steps, batch_size=self.batch_size, lr=self.rates[lr], seed=seed, device=device
        )

    def reviving(self, lr: str, seed: int, device: str) -> TrainConfig:
        """As fine-tuning (the paper uses the same hyper-parameters, App. C.2), with its own budget of steps."""
        return TrainConfig(
            steps=self.revive_steps, batch_size=self.batch_size, lr=self.rates[lr], seed=seed, device=device
        )
