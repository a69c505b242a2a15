"""The paper's story experiments as steps: base models, deletions by choice of data, reFT, and the never-taught control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capbench.configs import TrainConfig
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.steps import Edit, FineTune, Initialise, Pretrain, Step, Watch
from capbench.studies.seeds import subseed
from capbench.studies.stories.prepared import check_feature_of, counts_of, stories_in
from capbench.studies.stories.preset import StoriesPreset
from capbench.tasks.base import Task
from capbench.tasks.splits import Split
from capbench.tasks.stories.corpus.opened import how_many
from capbench.tasks.stories.corpus.questions import QuestionTask
from capbench.tasks.stories.corpus.task import CorpusTask
from capbench.tasks.stories.features import FEATURES
from capbench.tasks.stories.protocols import MADE, Stories, finetuning, pretraining, relearning
from capbench.tasks.stories.task import StoryTask
from capbench.verdicts.tools import Toolbox

TARGET = "Twist"  # the feature that is deleted unless a case says another one
CLASSIFIER = "classifier"  # its name among the models of a claim


@dataclass(frozen=True, kw_only=True)
class StoriesStudy:
    """Gives every model of the experiment as a step, by seed.

    method None: base models only. toolbox: no part of what is measured, so that it enters no key. target: the feature that is
    deleted. own: somebody's own stories, in place of those that are made here; a classifier says then what a told story has.
    """

    preset: StoriesPreset
    method: MethodRef | None = None
    device: str = "cpu"
    target: str = TARGET
    toolbox: Toolbox = field(default=Toolbox(), compare=False, repr=False)
    own: CorpusTask | None = None

    def on(self, folder: str, root: Path) -> StoriesStudy:
        """The study of the stories in a folder, which are prepared in `root`; its tools are others (see `factory.on_own`).

        Raises UsageError, one line, if they cannot be prepared, or are too few.
        """
        p = self.preset
        own = stories_in(folder, root, vocab_size=p.own_vocabulary, seq_len=p.own_length)
        check_feature_of(own, self.target, folder, measured=p.n_of_each)
        return replace(self, own=own)

    @property
    def model_name(self) -> str:
        p = self.preset
        return f"{p.architecture.rpartition(':')[2].lower()}-{p.n_blocks}x{p.d_model}"

    @property
    def task_name(self) -> str:
        return f"{'own ' if self.own else ''}stories without {self.target}"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the number of steps behind the paper's name of a rate."""
        found = dict(case)
        if "lr" in case:
            found |= {"eta": self.preset.rates[case["lr"]], "steps": self.preset.finetune_steps}
        if self.preset.precision != "float32":
            found["precision"] = self.preset.precision
        if self.own is not None:
            found["stories"] = self.own.identity[:12]  # of whom: runs on others are not compared
        return found

    @property
    def stories(self) -> Stories:
        """Those that models are trained on, without a protocol."""
        return self.own or MADE

    # Models

    def initialised(self, seed: int) -> Initialise:
        """A random initialisation."""
        task = self.stories
        return Initialise(
            architecture=self.preset.architecture,
            model=self.preset.model(task.vocab_size, task.seq_len),
            seed=subseed(seed, "initialise"),
        )

    def base(self, seed: int, *, never: bool = False) -> Pretrain:
        """A model that was taught all six features; never: all but the target, of which it saw no story."""
        return Pretrain(
            start=self.initialised(seed),
            task=pretraining(self.stories, never=self.target if never else ""),
            train=self.preset.pretraining(subseed(seed, "pretrain"), self.device),
            watch=self._watches(seed),
        )

    def deleted(self, seed: int, *, protocol: str, lr: str, never: bool = False) -> FineTune:
        """A model after the method under test on the stories of a protocol. never: the twin, which never had the target."""
        if self.method is None:
            raise ValueError("this study has no fine-tuning method")
        return FineTune(
            base=self.base(seed, never=never),
            method=self.method,
            task=finetuning(protocol, self.target, of=self.stories),
            train=self.preset.finetuning(lr, subseed(seed, "finetune"), self.device),
            watch=self._watches(seed),
            watch_every=self.preset.watch_every,
        )

    def relearnt(self, start: Step, seed: int, *, lr: str, steps: int) -> Edit:
        """A model after so many steps of reFT on stories that have the target; equal data and rate whoever starts."""
        train = self.preset.relearning(lr, steps, subseed(seed, "relearn"), self.device)
        return self._trained_on(relearning(self.target, of=self.stories), start, train)

    def classifier(self, seed: int) -> Edit | None:
        """The seed's base model, trained to say which features a story has; None where a checker reads them."""
        if self.own is None:
            return None
        p = self.preset
        train = p.relearning("medium", p.classifier_steps, subseed(seed, "classifier"), self.device)
        longest = counts_of(self.own)["train"].longest_story
        questions = QuestionTask(stories=self.own, features=self.told_apart("train"), seq_len=longest + 2)
        return self._trained_on(questions, self.base(seed), train)

    def judges(self, seed: int) -> Mapping[str, Step]:
        """The models that say what others tell, by name."""
        found = self.classifier(seed)
        return {} if found is None else {CLASSIFIER: found}

    def _trained_on(self, task: Task, start: Step, train: TrainConfig) -> Edit:
        return Edit(
            start=start,
            edit="capbench.studies.stories.relearning:relearnt",
            task=task,
            arguments={
                "steps": train.steps,
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
    ) -> Stories:
        """Stories that are asked for with the target, or without; the other features as in pretraining.

        new_phrasings, new_words: with sentences, or names and objects, that are held out of training; of stories made here.
        """
        shares = {self.target: float(asked)}
        if self.own is not None:
            return replace(self.own, feature=self.target, shares=shares, split=split)
        return StoryTask(
            feature=self.target, shares=shares, split=split, new_phrasings=new_phrasings, new_words=new_words
        )

    def of_any(self) -> Stories:
        """Stories of all features, each asked for as it is there."""
        return replace(self.stories, split="evaluate")

    def untold(self, feature: str, *, split: Split, new_phrasings: bool = False) -> Stories:
        """Stories of all features whose block does not say which: what a probe is to read is in the story alone.

        Half of them have the feature.
        """
        if self.own is not None:
            return replace(self.own, feature=self.target, even=feature, withheld=1.0, split=split)
        return StoryTask(feature=self.target, withheld=1.0, split=split, new_phrasings=new_phrasings)

    def questions(self) -> QuestionTask:
        """What a classifier is examined with. Raises ValueError for stories that are made here."""
        if self.own is None:
            raise ValueError("a checker reads these stories: there is no classifier")
        return QuestionTask(stories=replace(self.own, split="evaluate"), seq_len=self.own.seq_len)

    def told_apart(self, *splits: Split) -> tuple[str, ...]:
        """The features that some stories of each of these splits have and some lack: of stories made here all."""
        if self.own is None:
            return FEATURES
        path = self.own.path
        return tuple(
            feature
            for feature in FEATURES
            if all(how_many(path, split, feature, share) for split in splits for share in (0.0, 1.0))
        )

    def _watches(self, seed: int) -> tuple[Watch, ...]:
        """The branch token meanwhile; of somebody's own stories nothing, as they have none."""
        task = self.asking(True)
        if self.own is not None:
            return ()
        return (Watch(name=self.target, task=task, n=self.preset.n_watch, seed=subseed(seed, f"watch {self.target}")),)
