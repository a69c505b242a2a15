"""Sizes, rates and counts of the PCFG experiments at the three scales, each with its source. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from capbench.configs import ModelConfig, Precision, TrainConfig
from capbench.models.named import Sizes, config_of
from capbench.pipeline.steps import code_path
from capbench.tasks.pcfg.grammar import WIDE_GRAMMAR
from capbench.tasks.pcfg.setting import PcfgSetting

# Operand priors of the paper (App. C.2), most to least skewed; 'low' and 'high' are its weak and strong relevance.
PRIORS: Mapping[str, Mapping[str, float]] = {
    "low": {"a": 0.999, "b": 0.001, "c": 0.0},
    "0.99": {"a": 0.99, "b": 0.01, "c": 0.0},
    "0.9": {"a": 0.9, "b": 0.1, "c": 0.0},
    "0.7": {"a": 0.7, "b": 0.2, "c": 0.1},
    "high": {"a": 0.5, "b": 0.3, "c": 0.2},
}


@dataclass(frozen=True, kw_only=True)
class PcfgPreset:
    """One scale of the PCFG experiments.

    rates: fine-tuning learning rates by the paper's names (eta_L, eta_M, eta_S). Counts of strings: n_evaluate per
    accuracy, n_select for choosing neurons and blocks, n_watch per point of a curve, n_probe per description length.
    """

    name: str
    setting: PcfgSetting
    index_q: int = 1  # the Indexer's correlation: index(b) - index(a); 1 is rare in short texts of WIDE_GRAMMAR
    architecture: str = code_path("capbench.models.gpt:Gpt")  # built from what `model` gives
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
    watch_every: int  # steps of fine-tuning between points of its curves; divides a tenth of them, where Table 5 looks
    goal: float = 0.95  # revival is reached at this accuracy
    prune_ks: tuple[int, ...] = (1, 2, 5, 10, 15, 20, 30)
    prune_most: int = 15  # Fig. 7: 5–15 neurons suffice
    search_most: int = 15  # rows that the greedy search may prune: as many as may be pruned by score
    search_wide: int = 60  # the same where what holds O_PT back is spread wide (Indexer, inhibitor)
    search_shortlist: int = 20  # rows that it tries in a round
    search_strings: int = 128  # of n_select that it tries them on
    random_draws: int = 3
    n_evaluate: int = 512
    n_select: int = 512
    n_watch: int = 256
    probe_blocks: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    priors: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: PRIORS, repr=False)
    anchor_seeds: tuple[int, ...] = ()  # whose never-taught models say how far a probe's zero spreads; none: not asked
    longer: Mapping[str, float] = field(default_factory=dict)  # prior -> times as long as the others' pretraining
    precision: Precision = "float32"  # of trainings; what is measured is measured in float32

    @property
    def middle_rates(self) -> Mapping[Literal["adamw", "sgd"], float]:
        """By optimizer, the rate around which attacks choose theirs. SGD needs far larger ones."""
        return {"adamw": self.rates["medium"], "sgd": 1000 * self.rates["medium"]}

    def model(self, setting: PcfgSetting) -> ModelConfig:
        """The model for prompts of a setting (this preset's, or one with other family tokens)."""
        sizes = Sizes(
            vocab_size=len(setting.vocabulary),
            seq_len=setting.seq_len,
            d_model=self.d_model,
            n_blocks=self.n_blocks,
            n_heads=self.n_heads,
            activation="relu" if self.activation == "relu" else "gelu",
        )
        return config_of(self.architecture, sizes)

    def pretraining(self, steps: int, seed: int, device: str) -> TrainConfig:
        """AdamW, warm-up over 20 %, cosine (App. C.2)."""
        return self._training(steps, self.pretrain_lr, seed, device)

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """As pretraining, at one of the fine-tuning rates."""
        return self._training(self.finetune_steps, self.rates[lr], seed, device)

    def reviving(self, lr: str, seed: int, device: str) -> TrainConfig:
        """At one of the fine-tuning rates, which is constant after a warm-up over 1 %: how soon does not hang on the budget.

        The paper's schedule is that of fine-tuning (App. C.2). Under it the rate decays around the goal.
        """
        train = self._training(self.revive_steps, self.rates[lr], seed, device)
        return replace(train, warmup=0.01, final_lr=1.0)

    def _training(self, steps: int, lr: float, seed: int, device: str) -> TrainConfig:
        return TrainConfig(
            steps=steps, batch_size=self.batch_size, lr=lr, seed=seed, device=device, precision=self.precision
        )


def smoke() -> PcfgPreset:
    """For this project's own CI: minutes, one seed. A smaller model than `small`, and two of the five task families."""
    return replace(
        small(),
        name="smoke",
        setting=PcfgSetting(text_len=16, numbers={"C": 12, "I": 1}, grammar=WIDE_GRAMMAR),
        d_model=48,
        n_heads=3,
        pretrain_steps=1500,
        finetune_steps=200,
        revive_steps=1000,
        anchor_seeds=(),  # six more base models would take longer than all else
        watch_every=20,
        n_evaluate=256,
        n_select=256,
        n_watch=128,
        probe_blocks=(32, 64, 128, 256, 512),
    )


def small() -> PcfgPreset:
    """The default: real effects on a 2-core CPU. The paper's families with short texts; not the paper's sizes.

    The grammar's lowest level is wider than the paper's, so that counts spread as far in 12 letters as the paper's do in 40.

    A base model takes four minutes on one core. Two blocks learn the five families sooner than three, and short texts sooner
    than long ones. ReLU instead of GELU costs a quarter less time there.

    The large rate is a tenth of the pretraining rate, as in the paper. Under the high prior and C_Tr .5 it leaves the other
    families standing (at least .93 of the base model's accuracy, seed 100; a rate of 5e-4 leaves .80, 2e-3 next to nothing). At
    the two others the product of rate and steps is near the paper's. So they do not lie a factor of ten below the large one.
    """
    return PcfgPreset(
        name="small",
        setting=PcfgSetting(text_len=16, numbers={"C": 12, "CC": 12, "I": 2, "IC": 1, "T": 6}, grammar=WIDE_GRAMMAR),
        index_q=3,
        d_model=64,
        n_blocks=2,
        n_heads=4,
        activation="relu",
        batch_size=96,
        pretrain_steps=4500,
        pretrain_lr=3e-3,
        finetune_steps=400,
        rates={"large": 3e-4, "medium": 2e-4, "small": 2e-5},
        revive_steps=2000,  # at the small rate, Scr.+FT takes about 1 200 (seed 100), reFT after C_Tr 0 about 220
        revive_every=5,  # after C_Tr 1, reFT takes 15 to 25 steps at the medium rate
        watch_every=40,
        longer={"high": 1.5},  # three operands of every family take longer to learn than one
        anchor_seeds=tuple(range(6)),
    )


def paper() -> PcfgPreset:
    """The paper's own numbers (App. B.2, C.2): for a GPU."""
    return PcfgPreset(
        name="paper",
        setting=PcfgSetting(text_len=250, numbers={"C": 40, "CC": 40, "I": 6, "IC": 6, "T": 40}, edited=True),
        d_model=192,
        n_blocks=6,
        n_heads=6,
        activation="gelu",
        batch_size=96,
        pretrain_steps=200_000,
        pretrain_lr=1e-3,
        finetune_steps=10_000,
        rates={"large": 1e-4, "medium": 1e-5, "small": 1e-6},
        revive_steps=10_000,
        revive_every=50,
        watch_every=200,
    )


PRESETS: Mapping[str, Callable[[], PcfgPreset]] = {"smoke": smoke, "small": small, "paper": paper}
