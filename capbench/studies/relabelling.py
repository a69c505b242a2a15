"""The control by inputs and outputs alone: does a fixed relabelling of a model's own answers give O_PT back?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from capbench.results import Measurement
from capbench.studies.base import Preset, Study
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.readings import number
from capbench.studies.seeds import subseed
from capbench.tasks.splits import Split

if TYPE_CHECKING:
    from capbench.tasks.base import Task


class Sampled(Preset, Protocol):
    """A preset that says how many strings are used to choose, and how many to evaluate."""

    @property
    def n_select(self) -> int: ...
    @property
    def n_evaluate(self) -> int: ...


class Relabelled(Study, Protocol):
    """A study whose models are asked for O_PT, the first of its operands."""

    @property
    def preset(self) -> Sampled: ...
    @property
    def operands(self) -> tuple[Any, Any]: ...
    def evaluation(self, operand: Any, *, c_te: float | None, split: Split = "evaluate") -> Task:
        """The task of an operand (see `FineTuningStudy.evaluation`)."""
        ...


# At C_Te 0 the answer to O_FT does not give that to O_PT; in natural strings it sometimes does, at C_Te 1 always. So what
# counts is C_Te 0, and C_Te 1 shows how much of a relabelling can follow from the task.
STRINGS: Mapping[str, float | None] = {"": 0, ".natural": None, ".c_te1": 1}


def relabelled(bench: Bench[Relabelled], model: Built) -> Iterator[Measurement]:
    """O_PT accuracy of one model after the best relabelling, and of the commonest answer: what `relabelling` is made of."""
    from capbench.measure.accuracy import sample
    from capbench.measure.relabelling import relabelled as fitted

    study, preset = bench.study, bench.study.preset
    for which, c_te in STRINGS.items():
        tasks = {split: study.evaluation(study.operands[0], c_te=c_te, split=split) for split in ("select", "evaluate")}
        sizes = {"select": preset.n_select, "evaluate": preset.n_evaluate}
        batches = {
            split: sample(task, sizes[split], subseed(bench.seed, f"relabelling {split}{which}"))
            for split, task in tasks.items()
        }
        found = fitted(model.model, tasks["evaluate"], **batches)
        for name, value in (("accuracy", found.accuracy), ("constant", found.constant)):
            yield number(bench, f"{name}{which}", value, "accuracy", preset.n_evaluate, "relabelling")


@made_of(relabelled)
def relabelling(bench: Bench[Relabelled], tuned: Built, twin: Built) -> Iterator[Measurement]:
    """How much of O_PT the best fixed relabelling of the fine-tuned model's own answers gives back: `relabelling.accuracy`.

    Each answer is replaced by the right one that it most often goes with on the selection split; accuracy is measured on the
    evaluation split, at C_Te 0. Controls: `relabelling.twin`, the same of a never-taught model after the same method, which is
    what a relabelling gives without the capability; `relabelling.constant`, the commonest right answer alone. All three on
    natural strings and at C_Te 1 too (`.natural`, `.c_te1`): where O_FT's answer tells O_PT's, so does the twin's.
    """
    read = {name: bench.read(relabelled, {"model": built}) for name, built in (("accuracy", tuned), ("twin", twin))}
    for name, found in read.items():
        for m in found:
            what, dot, which = m.name.partition(".")
            if what == "accuracy" or name == "accuracy":
                shown = name if what == "accuracy" else what
                yield number(bench, f"relabelling.{shown}{dot}{which}", m.value, m.unit, m.n, m.group)
