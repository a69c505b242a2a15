"""The steps that make models, as data: (initialise, pretrain | compile, perturb | load) -> fine-tune -> revive.

A step's key is its whole configuration, hashed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar, cast

from capbench.configs import ModelConfig, TrainConfig
from capbench.methods.specs.registry import MethodRef
from capbench.store.code import name_digest, training_code
from capbench.store.keys import key_of
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask

_LEAVES = frozenset(
    {str, int, float, bool, type(None)}
)  # what a description ends in: told at once, as most of it is these


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
class Load(Step):
    """Read a pretrained model from this machine. Its weights stay where they are: the store only notes that they were there.

    architecture: 'module:Class' of the model, and `model` its configuration. identity: of weights and configuration, by content.
    path: where they lie; no part of the key. See pipeline/loading.py.
    """

    carried_out_by: ClassVar[str] = "capbench.pipeline.loading:model"
    architecture: str = code_path()
    model: ModelConfig
    identity: str
    path: str = field(compare=False)

    @property
    def code_paths(self) -> tuple[str, ...]:
        return (self.carried_out_by, *super().code_paths)

    @property
    def label(self) -> str:
        return f"load {self.path}"


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


@cache
def _fields(kind: Hashable) -> tuple[tuple[str, bool, bool], ...] | None:
    """Of a dataclass: name of each field, whether it counts in comparisons, whether it names code. None for other types."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple((f.name, f.compare, bool(f.metadata.get("code"))) for f in dataclasses.fields(kind))


def describe(value: Any) -> Any:
    """Frozen dataclasses as plain JSON values; a step in a step becomes its key.

    A part that occurs several times, as the grammar does in a step's tasks, is described once, and is the same value each time.
    """
    return _described(value, {}, parents=False)


def _described(value: Any, known: dict[int, Any], *, parents: bool = True) -> Any:
    """known: what was described before, by identity; all of it is part of one step, and so lives on."""
    if type(value) in _LEAVES:
        return value
    if parents and isinstance(value, Step):
        return value.key
    if (fields := _fields(cast(Hashable, type(value)))) is not None:
        if id(value) not in known:
            found = {"type": type(value).__name__}
            for name, counts, code in fields:
                if counts:
                    given = getattr(value, name)
                    found[name] = name_digest(given) if code else _described(given, known)
            known[id(value)] = found
        return known[id(value)]
    if isinstance(value, Mapping):
        return {str(k): _described(v, known) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_described(v, known) for v in value]
    return value


def _modules(value: Any) -> set[str]:
    """The modules of capbench that define what a step consists of; its parents' are in the parents' keys."""
    found: set[str] = set()
    known: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if type(each) in _LEAVES or id(each) in known or (isinstance(each, Step) and each is not value):
            continue
        if (fields := _fields(cast(Hashable, type(each)))) is not None:
            known.add(id(each))
            if isinstance(each, Step):
                found.update(path.partition(":")[0] for path in each.code_paths)
            else:
                found.add(type(each).__module__)
            waiting += (getattr(each, name) for name, _, _ in fields)
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (tuple, list)):
            waiting += each
    return found
