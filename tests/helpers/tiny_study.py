"""A study so small that its models are made in a moment; run as a program, one of two processes that build it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from capbench.configs import GptConfig, TrainConfig
from capbench.methods.specs.registry import MethodRef, find
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune, Initialise, Pretrain, Revive, Step, Watch
from capbench.store.store import Store
from capbench.tasks.pcfg.finetuning import finetuning, pretraining
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask

SETTING = PcfgSetting(text_len=6, numbers={"C": 4, "I": 1})
PRIOR = {"a": 0.6, "b": 0.4}
MODEL = GptConfig(vocab_size=len(SETTING.vocabulary), seq_len=SETTING.seq_len, d_model=8, n_blocks=1, n_heads=2)
TRAIN = TrainConfig(steps=6, batch_size=4, lr=1e-2, seed=0)
O_PT = PcfgTask(setting=SETTING, prior={"a": 1.0}, split="evaluate")
WATCH = Watch(name="O_PT", task=O_PT, n=16, seed=0)

START = Initialise(architecture="capbench.models.gpt:Gpt", model=MODEL, seed=0)
BASE = Pretrain(start=START, task=pretraining(SETTING, PRIOR), train=TRAIN, watch=(WATCH,), watch_every=2)

METHODS = """
import copy, os, sys, time, torch
from capbench.training.loop import fit
def good(model, task, config):
    fit(tuned := copy.deepcopy(model), task, config)
    return tuned
def slow(model, task, config):
    time.sleep(0.5)  # long enough for another process to arrive
    return good(model, task, config)
def unlearn(model, task, config):
    fit(tuned := copy.deepcopy(model), task.forget, config, loss=lambda m, b, t: -m(b.tokens).logsumexp(-1).mean())
    return tuned
def in_place(model, task, config):
    fit(model, task, config)
    return model
def infinite(model, task, config):
    model.unembedding.weight.data.fill_(float("inf"))
    return model
def raises(model, task, config): raise ValueError("two\\nlines")
def exits(model, task, config): sys.exit("usage: mine.py")
def none(model, task, config): fit(model, task, config)
def number(model, task, config): return 5
def inner(model, task, config): return model.blocks[0]
def wider(model, task, config):
    model.unembedding = torch.nn.Linear(8, 99, bias=False)
    return model
def adapter(model, task, config):
    model.adapter = torch.nn.Linear(8, 8)
    return model
def pruned(model, task, config):
    del model.norm
    return model
def dies(model, task, config): os._exit(1)
"""


class Counting(Store):
    """A store that writes down, in a file beside it, every artefact that is built."""

    def save(self, key: str, **content: Any) -> None:
        with open(f"{self.root}.built", "a") as log:
            log.write(f"{key}\n")
        super().save(key, **content)

    @property
    def built(self) -> list[str]:
        log = Path(f"{self.root}.built")
        return log.read_text().split() if log.exists() else []


def tuned(method: MethodRef, base: Step = BASE) -> FineTune:
    task = finetuning(BASE.task, family="C", o_pt="a", o_ft="b", q=1, c_tr=1.0)
    return FineTune(base=base, method=method, task=task, train=TRAIN, watch=(WATCH,), watch_every=3)


def revived(start: Step, *, goal: float = 2.0) -> Revive:
    return Revive(start=start, task=replace(O_PT, split="train"), train=TRAIN, watch=WATCH, watch_every=2, goal=goal)


def steps(methods: Path) -> list[Step]:
    """Six steps, children first; with their two ancestors they are eight."""
    one, other = tuned(find(f"{methods}:good")), tuned(find("identity"))
    return [revived(one), revived(other), one, other, revived(BASE), revived(START)]


def slow_plan() -> Plan:
    """A plan with work that takes long enough for two processes to meet. A user's method would have processes of its own."""
    long = replace(TRAIN, steps=100)
    method = find("full")
    return Plan(
        [revived(replace(tuned(method), train=long)), tuned(method, replace(BASE, train=replace(long, seed=1)))]
    )


def when_told(store: str, start: str) -> None:
    """Make the slow plan as soon as the file `start` is there; a file `ready.<process>` beside it says that this waits."""
    Path(start).with_name(f"ready.{os.getpid()}").touch()
    while not Path(start).exists():
        time.sleep(0.01)
    print(slow_plan().run(Counting(store), jobs=1))
