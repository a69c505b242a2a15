"""Evaluation, probing and pruning of a fine-tuned model together, against the training that they judge. One thread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from speed.rounds import OWN, compared, ratios
from speed.rows import keep, row
from speed.steps import Setup

from capbench.methods.specs.registry import find
from capbench.models.gpt import Gpt
from capbench.studies.lab import Bench
from capbench.studies.pcfg.preset import small
from capbench.studies.pcfg.readings import behaviour, description_length, pruning
from capbench.studies.pcfg.study import PcfgCounter

STEPS = 20  # timed of each training


@dataclass(frozen=True)
class Ready:
    """As lab.Built: a model that is there."""

    model: Gpt


def test_judging(benchmark):
    """Fine-tuning of 400 steps on answers alone is the least that is ever judged; pretraining of 4 500 stands before it.

    The strings that are read are drawn within the time. Curves that are recorded during training are part of it on both sides.
    """
    study = PcfgCounter(preset=small(), method=find("full"))
    preset = study.preset
    tuning = study.finetuned(0, prior="low", c_tr=1.0, lr="medium")
    pretrained = Setup.of(preset, steps=STEPS)
    tuned = Setup.of(preset, steps=STEPS, task=tuning.task)
    model = Ready(Gpt.initialised(pretrained.model, torch.Generator().manual_seed(0)))
    bench = Bench(study=study, seed=0)

    def judge():
        readings = (
            behaviour(bench, tuned=model),
            pruning(bench, tuned=model),
            description_length(bench, model=model, token=None),
        )
        return [list(reading) for reading in readings]

    found = compared(benchmark, judge, {"tuning": tuned.ours(), "pretraining": pretrained.ours()}, rounds=3)
    finetuning = [s / STEPS * preset.finetune_steps for s in found["tuning"]]
    all_of_it = [s + p / STEPS * tuning.base.train.steps for s, p in zip(finetuning, found["pretraining"], strict=True)]
    what = "small: accuracies, pruning and probing of a fine-tuned model"
    keep(
        benchmark,
        row("judging", what, found[OWN], "s"),
        row("judging", f"{what}, share of its fine-tuning's time", ratios(found[OWN], finetuning, 100), "%"),
        row(
            "judging", f"{what}, share of its whole training's", ratios(found[OWN], all_of_it, 100), "%", aim="<= 33 %"
        ),
    )
