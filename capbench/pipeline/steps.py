"""The steps that make models, as data: (initialise, pretrain | compile, perturb) -> fine-tune -> revive.

A step's key is its whole configuration, hashed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from capbench.configs import ModelConfig, TrainConfig
from capbench.methods.specs.registry import MethodRef
from capbench.store.code import name_digest, training_code
from capbench.store.keys import key_of
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask


def code_path(default: Any = dataclasses.MISSING) -> Any:
    """A field that names code as `module:attribute`: its part of a key is what that code does, not where it lies."""
    return field(default=default, metadata={"code": True})


@dataclass(frozen=True, kw_only=True)
class Watch:
    """An evaluation repeated during training: its name in the curves, the task, sample size and seed."""

    name: str
    task: Task
    n: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One cached piece of work. `parents` are built first; `cost` is in training steps, for ordering and progress.

    The first of the parents gives the architecture.
    """

    @property
    def parents(self) -> tuple[Step, ...]:
        return ()

    @property
    def code_paths(self) -> tuple[str, ...]:
        """`module:attribute` of all code that the step names, its parents apart."""
        return tuple(getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("code"))

    @property
    def cost(self) -> int:
        return 0

    @property
    def label(self) -> str:
        """A few words for progress and errors."""
        return type(self).__name__.lower()

    @cached_property
    def key(self) -> str:
        """Content address: kind, code version, configuration, and the parents' keys in place of the parents."""
        return key_of(self.config)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Everything the result depends on, as JSON."""
        return {"code": training_code(frozenset(_modules(self))), **describe(self)}


@dataclass(frozen=True, kw_only=True)
class Initialise(Step):
    """A freshly initialised model: the start of the Scr. baseline, and the floor of every control.

    architecture: 'module:Class' of the model (see models/base.py), which is built from the configuration `model`.
    """

    architecture: str = code_path()
    model: ModelConfig
    seed: int


@dataclass(frozen=True, kw_only=True)
class Compile(Step):
    """Compile a RASP program to a transformer (Tracr).

    program: 'module:function', called with `arguments`, gives the program. max_seq_len: content positions, without BOS.
    """

    architecture: ClassVar[str] = "capbench.models.tracr:TracrTransformer"
    program: str = code_path()
    arguments: tuple[str | int, ...]
    vocabulary: tuple[str, ...]
    max_seq_len: int
    bos: str
    pad: str

    @property
    def name(self) -> str:
        """The program and its arguments, as in `count(a)`."""
        return f"{self.program.rpartition(':')[2]}({', '.join(map(str, self.arguments))})"

    @property
    def code_paths(self) -> tuple[str, ...]:
        return (self.architecture, *super().code_paths)

    @property
    def cost(self) -> int:
        return 200  # a few seconds, most of them for starting jax

    @property
    def label(self) -> str:
        return f"compile {self.name}"


@dataclass(frozen=True, kw_only=True)
class Perturb(Step):
    """Add Gaussian noise to all weights: compiled weights are sparse, and a weight of zero among zeros gets no gradient."""

    start: Compile
    scale: float
    seed: int

    @property
    def parents(self) -> tuple[Step, ...]:
        return (self.start,)

    @property
    def label(self) -> str:
        return f"perturb {self.start.name} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Edit(Step):
    """Change weights by hand: a rewrite that keeps the function, a part bolted on, a circuit taken out.

    edit: 'module:function', called as function(model, rng=..., **arguments) (with task=..., where one is given); gives a new
    model, with `adds_blocks` more blocks.
    """

    start: Step
    edit: str = code_path()
    arguments: Mapping[str, int | float | str] = field(default_factory=dict)
    seed: int = 0
    task: Task | None = None
    adds_blocks: int = 0

    @property
    def parents(self) -> tuple[Step, ...]:
        return (self.start,)

    @property
    def name(self) -> str:
        """The edit and its arguments, as in `bolt_on(neurons=3)`."""
        return f"{self.edit.rpartition(':')[2]}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})"

    @property
    def label(self) -> str:
        return f"{self.name} on {self.start.label}"


@dataclass(frozen=True, kw_only=True)
class Training(Step):
    """A step that trains."""

    train: TrainConfig

    @property
    def cost(self) -> int:
        return self.train.steps


@dataclass(frozen=True, kw_only=True)
class Pretrain(Training):
    """Train a model from scratch on a pretraining task (paper App. C.2)."""

    start: Initialise
    task: Task
    watch: tuple[Watch, ...] = ()
    watch_every: int = 250

    @property
    def parents(self) -> tuple[Step, ...]:
        return (self.start,)

    @property
    def label(self) -> str:
        return f"pretrain {self.task.name} seed {self.start.seed}"


@dataclass(frozen=True, kw_only=True)
class FineTune(Training):
    """Apply a fine-tuning method to a base model."""

    carried_out_by: ClassVar[str] = "capbench.pipeline.fine_tuning:carry_out"
    base: Step
    method: MethodRef
    task: FineTuningTask
    watch: tuple[Watch, ...] = ()
    watch_every: int = 50

    @property
    def code_paths(self) -> tuple[str, ...]:
        return (self.carried_out_by, *super().code_paths)

    @property
    def parents(self) -> tuple[Step, ...]:
        return (self.base,)

    @property
    def label(self) -> str:
        return f"fine-tune {self.task.target.name} at lr {self.train.lr:g} by {self.method.name}"


@dataclass(frozen=True, kw_only=True)
class Distil(Training):
    """Teach a model to answer as another one does: what the other hides in its weights is not passed on (arXiv 2506.06278).

    teacher: its logits on the prompts of `task` are the targets; the task's own answers are not used.
    """

    carried_out_by: ClassVar[str] = "capbench.pipeline.distilling:carry_out"
    start: Step
    teacher: Step
    task: Task

    @property
    def code_paths(self) -> tuple[str, ...]:
        return (self.carried_out_by, *super().code_paths)

    @property
    def parents(self) -> tuple[Step, ...]:
        return self.start, self.teacher

    @property
    def label(self) -> str:
        return f"distil {self.teacher.label} on {self.task.name}"


@dataclass(frozen=True, kw_only=True)
class Revive(Training):
    """Training on the pretraining capability until `goal` accuracy (reFT, Scr.+FT or Scr., by its start).

    The result is a curve, not a model. goal: accuracy 0..1 on `watch`; checked every `watch_every` steps.
    relearn: 'module:function', called as function(model, task, train); full fine-tuning if not given.
    """

    start: Step
    task: Task
    watch: Watch
    watch_every: int
    goal: float
    relearn: str = code_path("capbench.training.loop:fit")

    @property
    def parents(self) -> tuple[Step, ...]:
        return (self.start,)

    @property
    def label(self) -> str:
        return f"revive at lr {self.train.lr:g} from {self.start.label}"


def describe(value: Any, *, parents: bool = False) -> Any:
    """Frozen dataclasses as plain JSON values; with parents=True a step becomes its key (as steps in a step do)."""
    if parents and isinstance(value, Step):
        return value.key
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {"type": type(value).__name__}
        for f in dataclasses.fields(value):
            if f.compare:
                given = getattr(value, f.name)
                found[f.name] = name_digest(given) if f.metadata.get("code") else describe(given, parents=True)
        return found
    if isinstance(value, Mapping):
        return {str(k): describe(v, parents=True) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [describe(v, parents=True) for v in value]
    return value


def _modules(value: Any, *, parents: bool = False) -> set[str]:
    """The modules of capbench that define what a step consists of; its parents' are in the parents' keys."""
    if isinstance(value, Step):
        if parents:
            return set()
        own = {path.partition(":")[0] for path in value.code_paths}
        return own.union(*(_modules(getattr(value, f.name), parents=True) for f in dataclasses.fields(value)))
    if dataclasses.is_dataclass(value):
        inner = (_modules(getattr(value, f.name), parents=True) for f in dataclasses.fields(value))
        return {type(value).__module__}.union(*inner)
    if isinstance(value, Mapping):
        return set().union(*(_modules(v, parents=True) for v in value.values()))
    if isinstance(value, (tuple, list)):
        return set().union(*(_modules(v, parents=True) for v in value))
    return set()
