"""Sizes, rates and counts of the story experiments at the three scales, each with its source. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from capbench.configs import ModelConfig, Precision, TrainConfig
from capbench.models.named import Sizes, config_of
from capbench.pipeline.steps import code_path


@dataclass(frozen=True, kw_only=True)
class StoriesPreset:
    """One scale of the story experiments.

    rates: of deletion and of reFT, by the paper's names (eta_M, eta_S). relearn_steps: after how many steps of reFT a model is
    looked at, log-spaced; the first is not 0, which is the model itself. table_steps: those of the paper's Table 1.
    n_tell: stories that are told per share. n_evaluate: stories per loss and probability; n_select: for choosing rows and maps.
    n_watch: per point of a curve. probe_blocks: of the online code.

    Of somebody's own stories: own_vocabulary: tokens, at most; own_length: of the context; classifier_steps: of training the
    classifier.
    """

    name: str
    architecture: str = code_path("capbench.models.gpt:Gpt")  # built from what `model` gives
    d_model: int
    n_blocks: int
    n_heads: int
    activation: str = "gelu"
    batch_size: int
    pretrain_steps: int
    pretrain_lr: float
    finetune_steps: int
    rates: Mapping[str, float]
    relearn_steps: tuple[int, ...]
    table_steps: tuple[int, ...]
    watch_every: int
    n_tell: int = 256
    n_evaluate: int = 512
    n_select: int = 512
    n_watch: int = 128
    probe_blocks: tuple[int, ...] = (32, 64, 128, 256, 512)
    search_most: int = 15  # rows that the greedy search may prune
    search_shortlist: int = 20  # rows that it tries in a round
    search_strings: int = 128  # of n_select that it tries them on
    random_draws: int = 3
    own_vocabulary: int
    own_length: int
    classifier_steps: int
    precision: Precision = "float32"  # of trainings; what is measured is measured in float32

    @property
    def n_of_each(self) -> int:
        """How many different stories with the target are measured on at most, and without it: half of those that are mixed."""
        return max(self.n_tell, self.n_evaluate // 2, self.probe_blocks[-1] // 2)

    def model(self, vocab_size: int, seq_len: int) -> ModelConfig:
        """The model for stories of this many tokens."""
        sizes = Sizes(
            vocab_size=vocab_size,
            seq_len=seq_len,
            d_model=self.d_model,
            n_blocks=self.n_blocks,
            n_heads=self.n_heads,
            activation="relu" if self.activation == "relu" else "gelu",
        )
        return config_of(self.architecture, sizes)

    def pretraining(self, seed: int, device: str) -> TrainConfig:
        """AdamW, warm-up over 20 %, cosine."""
        return self._training(self.pretrain_steps, self.pretrain_lr, seed, device)

    def finetuning(self, lr: str, seed: int, device: str) -> TrainConfig:
        """As pretraining, at one of the rates."""
        return self._training(self.finetune_steps, self.rates[lr], seed, device)

    def relearning(self, lr: str, steps: int, seed: int, device: str) -> TrainConfig:
        """At one of the rates, constant: a longer training begins as a shorter one does."""
        return replace(self._training(steps, self.rates[lr], seed, device), warmup=0.0, final_lr=1.0)

    def _training(self, steps: int, lr: float, seed: int, device: str) -> TrainConfig:
        return TrainConfig(
            steps=steps, batch_size=self.batch_size, lr=lr, seed=seed, device=device, precision=self.precision
        )


def spaced(most: int, factor: float = 1.25) -> tuple[int, ...]:
    """Whole numbers from 1 to `most`, each about this factor above the last: a twofold speed-up is to be seen for sure."""
    found = [1]
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, round(factor * found[-1]))))
    return tuple(found)


def smoke() -> StoriesPreset:
    """For this project's own CI: does it run at all? The model is trained too little to tell a story."""
    return replace(
        small(),
        name="smoke",
        d_model=32,
        n_blocks=2,
        n_heads=2,
        batch_size=16,
        pretrain_steps=40,
        finetune_steps=10,
        relearn_steps=(1, 2, 4),
        table_steps=(0, 1, 2, 4),
        watch_every=10,
        n_tell=16,
        n_evaluate=32,
        n_select=32,
        n_watch=16,
        probe_blocks=(16, 32),
        search_most=2,
        search_shortlist=3,
        search_strings=16,
        random_draws=2,
        own_vocabulary=2048,
        own_length=512,
        classifier_steps=20,
    )


def small() -> StoriesPreset:
    """Real effects on a 2-core CPU: .4M parameters, stories of 96 words.

    Pretraining is 1 500 steps where the paper's is 30 000, so that its 30 and 300 steps of reFT are 2 and 16 here, rounded to
    powers of two. Its 3 000 would be 128; to save time the table ends at 64. Revivals go on to 256 where they have to: a model
    that never saw a twist has learned it in half its stories after 64 to 128.
    """
    return StoriesPreset(
        name="small",
        d_model=80,
        n_blocks=3,
        n_heads=5,
        batch_size=48,
        pretrain_steps=1500,
        pretrain_lr=2e-3,
        finetune_steps=60,
        rates={"medium": 3e-4, "small": 1e-4},
        relearn_steps=spaced(256),
        table_steps=(0, 2, 16, 64),
        watch_every=10,
        own_vocabulary=4096,
        own_length=512,
        classifier_steps=500,
    )


def paper() -> StoriesPreset:
    """The paper's sizes and steps (App. B.3), for a GPU: on stories made here, or on one's own copy of TinyStories-Instruct.

    The architecture is the GPT of the other studies, as large as the paper's (91M parameters with its vocabulary of 8 192). How
    its classifier was trained the paper does not say.
    """
    return StoriesPreset(
        name="paper",
        d_model=768,
        n_blocks=12,
        n_heads=12,
        batch_size=128,
        pretrain_steps=30_000,
        pretrain_lr=1e-3,
        finetune_steps=10_000,
        rates={"medium": 1e-4, "small": 1e-5},
        relearn_steps=spaced(3000),
        table_steps=(0, 30, 300, 3000),
        watch_every=200,
        own_vocabulary=8192,
        own_length=1024,
        classifier_steps=3000,
    )


PRESETS: Mapping[str, Callable[[], StoriesPreset]] = {"smoke": smoke, "small": small, "paper": paper}
