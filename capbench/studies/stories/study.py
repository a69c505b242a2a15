"""The paper's story experiments as steps: base models, deletions by choice of data, reFT, and the never-taught control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import Edit, FineTune, Initialise, Pretrain, Step, Watch
from capbench.studies.seeds import subseed
from capbench.studies.stories.preset import StoriesPreset
from capbench.tasks.splits import Split
from capbench.tasks.stories.protocols import finetuning, pretraining, relearning
from capbench.tasks.stories.task import StoryTask
from capbench.verdicts.tools import Toolbox

TARGET = "Twist"  # the feature that is deleted unless a case says another one


@dataclass(frozen=True, kw_only=True)
class StoriesStudy:
    """Gives every model of the experiment as a step, by seed.

    method None: base models only. toolbox: no part of what is measured, so that it enters no key. target: the feature that is
    deleted.
    """

    preset: StoriesPreset
    method: MethodRef | None = None
    device: str = "cpu"
    target: str = TARGET
    toolbox: Toolbox = field(default=Toolbox(), compare=False, repr=False)

    @property
    def model_name(self) -> str:
        p = self.preset
        return f"{p.architecture.rpartition(':')[2].lower()}-{p.n_blocks}x{p.d_model}"

    @property
    def task_name(self) -> str:
        return f"stories without {self.target}"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the number of steps behind the paper's name of a rate."""
        found = dict(case)
        if "lr" in case:
            found |= {"eta": self.preset.rates[case["lr"]], "steps": self.preset.finetune_steps}
        if self.preset.precision != "float32":
            found["precision"] = self.preset.precision
        return found

    # Models

    def initialised(self, seed: int) -> Initialise:
        """A random initialisation."""
        task = pretraining()
        return Initialise(
            architecture=self.preset.architecture,
            model=self.preset.model(task.vocab_size, task.seq_len),
            seed=subseed(seed, "initialise"),
        )

    def base(self, seed: int, *, never: bool = False) -> Pretrain:
        """A model that was taught all six features; never: all but the target, of which it saw no story."""
        watched = self.asking(True)
        return Pretrain(
            start=self.initialised(seed),
            task=pretraining(never=self.target if never else ""),
            train=self.preset.pretraining(subseed(seed, "pretrain"), self.device),
            watch=(self._watch(seed, self.target, watched),),
        )

    def deleted(self, seed: int, *, protocol: str, lr: str, never: bool = False) -> FineTune:
        """A model after the method under test on the stories of a protocol. never: the twin, which never had the target."""
        if self.method is None:
            raise ValueError("this study has no fine-tuning method")
        return FineTune(
            base=self.base(seed, never=never),
            method=self.method,
            task=finetuning(protocol, self.target),
            train=self.preset.finetuning(lr, subseed(seed, "finetune"), self.device),
            watch=(self._watch(seed, self.target, self.asking(True)),),
            watch_every=self.preset.watch_every,
        )

    def relearnt(self, start: Step, seed: int, *, lr: str, steps: int) -> Edit:
        """A model after so many steps of reFT on stories that have the target; equal data and rate whoever starts."""
        train = self.preset.relearning(lr, steps, subseed(seed, "relearn"), self.device)
        return Edit(
            start=start,
            edit="capbench.studies.stories.relearning:relearnt",
            task=relearning(self.target),
            arguments={
                "steps": steps,
                "batch_size": train.batch_size,
                "lr": train.lr,
                "seed": train.seed,
                "device": train.device,
                "precision": train.precision,
            },
        )

    # Evaluation

    def asking(
        self,
        asked: bool,
        *,
        split: Split = "evaluate",
        new_phrasings: bool = False,
        new_words: bool = False,
    ) -> StoryTask:
        """Stories that are asked for with the target, or without; the other features as in pretraining.

        new_phrasings, new_words: with sentences, or names and objects, that are held out of training.
        """
        return StoryTask(
            feature=self.target,
            shares={self.target: float(asked)},
            split=split,
            new_phrasings=new_phrasings,
            new_words=new_words,
        )

    def untold(self, *, split: Split, new_phrasings: bool = False) -> StoryTask:
        """Stories of all features whose block does not say which: what a probe is to read is in the story alone."""
        return StoryTask(feature=self.target, withheld=1.0, split=split, new_phrasings=new_phrasings)

    def _watch(self, seed: int, name: str, task: StoryTask) -> Watch:
        return Watch(name=name, task=task, n=self.preset.n_watch, seed=subseed(seed, f"watch {name}"))
