"""Two tiny worlds to run a method in: a GPT with prompts from the grammar, and a model like a compiled one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from capbench.configs import GptConfig
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.pcfg.finetuning import finetuning, pretraining
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.tracr.tasks import CounterTask


@dataclass(frozen=True, kw_only=True)
class World:
    """empty: a model of this world's architecture whose weights are not set. base: the model to fine-tune, always the same."""

    task: FineTuningTask
    empty: Callable[[], Model]
    base: Callable[[], Model]


def grammar() -> World:
    """The Counter on texts of eight letters: fine-tuned from counting `a` to counting `b`. The model was never trained."""
    setting = PcfgSetting(text_len=8, numbers={"C": 5, "I": 2})
    config = GptConfig(vocab_size=len(setting.vocabulary), seq_len=setting.seq_len, d_model=16, n_blocks=3, n_heads=2)
    task = finetuning(pretraining(setting, {"a": 0.6, "b": 0.4}), family="C", o_pt="a", o_ft="b", q=1, c_tr=0.5)
    return World(
        task=task,
        empty=lambda: Gpt(config).eval(),
        base=lambda: Gpt.initialised(config, torch.Generator().manual_seed(0)).eval(),
    )


def compiled() -> World:
    """Like the compiled Counter, but with random weights: the architecture is what a method must cope with."""
    before = CounterTask(min_content=4, max_content=6, largest_count=2)
    config = TracrConfig(
        program="none",
        vocabulary=before.vocabulary,
        bos=before.bos,
        pad="#",
        max_seq_len=before.seq_len,
        causal=False,
        n_blocks=2,
        n_heads=1,
        key_size=4,
        mlp_size=8,
        residual_labels=tuple(f"x:{i}" for i in range(12)),
        outputs=before.answers,
    )

    def base() -> Model:
        model, rng = TracrTransformer(config), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in (*model.parameters(), model.unembedding):
                weights.copy_(torch.randn(weights.shape, generator=rng) * 0.3)
        return model.eval()

    return World(task=before.finetuning("b", c_tr=0.5), empty=lambda: TracrTransformer(config).eval(), base=base)
