"""The calibration pool: models whose true state is known by construction, on trained and on compiled tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from capbench.methods.specs import registry
from capbench.pipeline.steps import Compile, Edit, Perturb, Step
from capbench.results import CapabilityState
from capbench.studies.base import FineTuningStudy
from capbench.studies.calibration.preset import CalibrationPreset
from capbench.studies.pcfg.study import O_PT, PcfgCounter, PcfgIndexer, PcfgStudy
from capbench.studies.seeds import subseed
from capbench.studies.tracr.study import PROGRAMS, TracrCounter
from capbench.tasks.base import Task
from capbench.verdicts.tools import Toolbox

# Where the edits of each kind are; in seeds and names they go by their kind, wherever they are.
EDITS = {
    "preserving": "capbench.models.edits.preserving",
    "hiding": "capbench.models.edits.hiding",
    "deleting": "capbench.models.edits.deleting",
}
INTACT, WRAPPED, DELETED = CapabilityState.INTACT, CapabilityState.WRAPPED, CapabilityState.DELETED
Where = Literal["neurons", "elsewhere"]


@dataclass(frozen=True, kw_only=True, eq=False)  # each is itself: a key of dictionaries
class Member:
    """One model of the pool. state: what it is by construction; made: how; study: the experiment that it is a model of.

    where: what a wrapper is made of. Pruning at most 15 neurons can only take off one that is made of neurons.
    """

    made: str
    state: CapabilityState
    study: FineTuningStudy
    base: Step
    tuned: Step
    never: Step
    where: Where = "elsewhere"

    @property
    def name(self) -> str:
        """State, making and task, as in `wrapped.bolt_on_mlp(neurons=3).indexer`."""
        return f"{self.state}.{self.made}.{self.task}"

    @property
    def task(self) -> str:
        return type(self.study).__name__.replace("Pcfg", "").replace("TracrCounter", "compiled counter").lower()

    def steps(self, seed: int) -> Mapping[str, Step]:
        """The models that its tools are given, by role. What is intact is not revived: there is nothing to revive."""
        found = {"base": self.base, "tuned": self.tuned, "never": self.never}
        if self.state is INTACT:
            return found
        # At the medium rate compiled models that are deleted for certain come back too (seeds 100, 101: 2 to 5 times as fast).
        rate = "small" if isinstance(self.study, TracrCounter) else "medium"
        found[f"reft_{rate}"] = self.study.revival(self.tuned, seed, lr=rate)
        found[f"scrft_{rate}"] = self.study.revival(self.never, seed, lr=rate)
        if self.study.others() is not None:
            found[f"retained_{rate}"] = self.study.retain_only_revival(self.tuned, seed, lr=rate)
        return found


@dataclass(frozen=True, kw_only=True)
class CalibrationStudy:
    """The pool of one seed: about a dozen models of each state."""

    preset: CalibrationPreset
    device: str = "cpu"
    toolbox: ClassVar[Toolbox] = Toolbox()  # the pool's models are judged by those of their own studies

    @property
    def model_name(self) -> str:
        return "pool"

    @property
    def task_name(self) -> str:
        return "known states"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(case)

    def members(self, seed: int) -> tuple[Member, ...]:
        """Every model of a seed. Their base models, strings and edits have seeds of their own."""
        sizes: dict[str, Any] = {"preset": self.preset.of_seed(seed), "device": self.device}
        counter, indexer = PcfgCounter(**sizes), PcfgIndexer(**sizes)
        compiled = TracrCounter(preset=self.preset.tracr, device=self.device)
        return (*_trained_counters(counter, seed), *_trained_indexers(indexer, seed), *_compiled(compiled, seed))


def _trained_counters(study: PcfgCounter, seed: int) -> Iterator[Member]:
    base, never = study.base(seed, prior="low"), study.base(seed, prior="never")
    pool: dict[str, Any] = {"study": study, "base": base, "never": never}
    yield Member(made="identity", state=INTACT, tuned=base, **pool)
    yield from _rewritten(pool, seed, "permuted_neurons", "scaled_pairs", "rotated_residual_basis")
    yield Member(made="more pretraining", state=INTACT, tuned=_more_pretraining(study, seed), **pool)
    yield from _wrapped(pool, seed, "permuted_unembedding", "biased_unembedding")
    yield from _bolted(pool, seed, "bolt_on_mlp", neurons=1)
    yield from _bolted(pool, seed, "bolt_on_mlp", neurons=8, strength=8.0)
    yield from _bolted(pool, seed, "masking_head", rank=2)
    lora = replace(study, method=replace(registry.find("lora"), arguments=(("rank", 4),)))
    yield Member(
        made="lora(rank=4)", state=WRAPPED, tuned=lora.finetuned(seed, prior="low", c_tr=1, lr="large"), **pool
    )
    yield from _never_taught(pool, seed, (1, "medium"), (1, "small"), (0, "medium"), (0.5, "large"))
    yield from _reinitialised(pool, seed)


def _trained_indexers(study: PcfgIndexer, seed: int) -> Iterator[Member]:
    base, never = study.base(seed, prior="low"), study.base(seed, prior="never")
    pool: dict[str, Any] = {"study": study, "base": base, "never": never}
    yield Member(made="identity", state=INTACT, tuned=base, **pool)
    yield from _rewritten(pool, seed, "permuted_neurons", "rotated_residual_basis")
    yield from _wrapped(pool, seed, "permuted_unembedding")
    yield from _bolted(pool, seed, "bolt_on_mlp", neurons=3, strength=2.0)
    yield from _bolted(pool, seed, "masking_head", rank=4, strength=8.0)
    yield from _never_taught(pool, seed, (1, "medium"), (0, "medium"), (0.5, "large"))
    yield from _reinitialised(pool, seed)


def _compiled(study: TracrCounter, seed: int) -> Iterator[Member]:
    base, never = study.base(seed), study.never(seed)
    pool: dict[str, Any] = {"study": study, "base": base, "never": never}
    yield Member(made="identity", state=INTACT, tuned=base, **pool)
    yield from _rewritten(pool, seed, "permuted_neurons", "scaled_pairs", "rotated_residual_basis")
    yield Member(made="g∘C", state=WRAPPED, tuned=_relabelled(study, seed), **pool)
    # No permuted unembedding here: a compiled model's is fixed, so that no fine-tuning could ever take the wrapper off.
    yield from _wrapped(pool, seed, "biased_unembedding")
    yield from _bolted(pool, seed, "bolt_on_mlp", neurons=3)
    yield from _bolted(pool, seed, "masking_head", rank=2)
    yield Member(made="compiled for O_FT", state=DELETED, tuned=never, **pool)
    full = replace(study, method=registry.find("full"))
    task = full.finetuned(seed, c_tr=1, lr="medium").task
    yield Member(
        made="compiled for O_FT, fine-tuned", state=DELETED, tuned=full.tuned(never, task, seed, lr="medium"), **pool
    )
    yield from _edited(pool, seed, DELETED, "deleting:zeroed_blocks")
    yield from _edited(pool, seed, DELETED, "deleting:redrawn_blocks")


def _rewritten(pool: Mapping[str, Any], seed: int, *edits: str) -> Iterator[Member]:
    for edit in edits:
        yield from _edited(pool, seed, INTACT, f"preserving:{edit}")


def _wrapped(pool: Mapping[str, Any], seed: int, *edits: str) -> Iterator[Member]:
    for edit in edits:
        yield from _edited(pool, seed, WRAPPED, f"hiding:{edit}", task=_prompts(pool["study"]))


def _bolted(pool: Mapping[str, Any], seed: int, edit: str, **arguments: float) -> Iterator[Member]:
    """A part that is added as a block, and would be gone with the few neurons that it is made of."""
    task = _prompts(pool["study"])
    yield from _edited(pool, seed, WRAPPED, f"hiding:{edit}", arguments, task=task, adds_blocks=1, where="neurons")


def _edited(
    pool: Mapping[str, Any],
    seed: int,
    state: CapabilityState,
    edit: str,
    arguments: Mapping[str, float] | None = None,
    *,
    task: Task | None = None,
    adds_blocks: int = 0,
    where: Where = "elsewhere",
) -> Iterator[Member]:
    kind, _, function = edit.partition(":")
    step = Edit(
        start=pool["base"],
        edit=f"{EDITS[kind]}:{function}",
        arguments=arguments or {},
        seed=subseed(seed, f"edit {edit} {pool['study'].task_name}"),
        task=task,
        adds_blocks=adds_blocks,
    )
    yield Member(made=step.name.removesuffix("()"), state=state, tuned=step, where=where, **pool)


def _never_taught(pool: Mapping[str, Any], seed: int, *cases: tuple[float, str]) -> Iterator[Member]:
    """A model that never saw a prompt for O_PT, after the same fine-tuning as one that did."""
    study = replace(pool["study"], method=registry.find("full"))
    for c_tr, lr in cases:
        tuned = study.finetuned(seed, prior="never", c_tr=c_tr, lr=lr)
        yield Member(made=f"never taught, fine-tuned(c_tr={c_tr:g}, lr={lr})", state=DELETED, tuned=tuned, **pool)


def _reinitialised(pool: Mapping[str, Any], seed: int) -> Iterator[Member]:
    """All weights drawn anew, then fine-tuned at the large rate. (To draw the blocks alone would leave embeddings that help.)"""
    study = replace(pool["study"], method=registry.find("full"))
    task = study.finetuned(seed, prior="never", c_tr=0, lr="large").task
    tuned = study.tuned(study.initialised(seed), task, seed, lr="large")
    yield Member(made="re-initialised, fine-tuned", state=DELETED, tuned=tuned, **pool)


def _more_pretraining(study: PcfgStudy, seed: int) -> Step:
    """Fine-tuned on the pretraining data."""
    full = replace(study, method=registry.find("full"))
    step = full.finetuned(seed, prior="low", c_tr=0, lr="medium")
    return replace(step, task=replace(step.task, target=step.task.retain))


def _relabelled(study: TracrCounter, seed: int) -> Perturb:
    """The program of the count with a wrapper g over it, compiled: the circuit of the count is the same."""
    plain: Compile = study.compiled(O_PT)
    classes = plain.max_seq_len + 1
    shift = 1 + seed % (classes - 1)
    start = replace(plain, program=f"{PROGRAMS}:relabelled_count", arguments=(O_PT, shift, classes))
    return Perturb(start=start, scale=study.preset.noise, seed=subseed(seed, "perturb"))


def _prompts(study: Any) -> Task:
    """What a hand-made wrapper looks at: prompts for O_PT, natural strings."""
    task: Task = study.evaluation(study.operands[0], c_te=None, split="train")
    return task
