"""The Counter, fine-tuned under conditions that try to delete what it knew (the paper's open question 2). No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from capbench.errors import UsageError
from capbench.methods.specs import registry
from capbench.pipeline.steps import Edit, FineTune, Step
from capbench.studies.pcfg.distilling import distilled
from capbench.studies.pcfg.study import NEVER_O_PT, PcfgCounter
from capbench.studies.seeds import subseed
from capbench.tasks.answered import Answered
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture

Answers = Literal["", "constant", "random"]
Taught = Literal["", "distilled", "retrained"]
SIZES = ("width", "blocks")  # conditions that are the model's, whatever is done to it
_STUDENT: Any = {"times": 8, "lr_factor": 15}  # of a distillation: as the calibration's, chosen on its setting half


@dataclass(frozen=True, kw_only=True)
class DeletionCounter(PcfgCounter):
    """As PcfgCounter; a case may have more conditions than the paper's prior, c_tr, lr, mixing, wrong_answers and duration:

    answers: of the fine-tuning texts, 'constant' (always 1) or 'random' (those of other texts), in place of the right ones.
    rate, times: multiply the learning rate and the steps of fine-tuning. decay: weight decay of fine-tuning.
    then: an operand; the fine-tuned model is fine-tuned once more, to this one on natural strings, with the same budget. answers
    are of the fine-tuning texts alone, and mixing is of both trainings.
    by: a built-in method in place of the run's.
    taught: what the fine-tuned model is replaced by: 'distilled', a fresh model that was taught its answers and never saw its
    weights (arXiv 2506.06278); or 'retrained', one that was pretrained without O_PT, on another seed, and fine-tuned likewise.
    noise: share of the blocks' weights of the student that are redrawn, the others being the teacher's (UNDO); 1 is a fresh one.
    width, blocks: multiply d_model, and add to the number of blocks; of all models of the case.
    """

    @property
    def title(self) -> str:
        return "counter under conditions"

    def finetuned(  # type: ignore[override]
        self,
        seed: int,
        *,
        prior: str,
        answers: Answers = "",
        rate: float = 1,
        times: float = 1,
        decay: float | None = None,
        then: str = "",
        by: str = "",
        taught: Taught = "",
        noise: float = 1,
        **paper: Any,
    ) -> Step:
        """The model of a case. Never-taught models, which are its controls, are fine-tuned as it is, and not replaced.

        Raises UsageError for conditions that are none.
        """
        self._check(answers, then, taught, noise, decay)
        if taught == "retrained" and prior not in NEVER_O_PT:
            seed, prior = another(seed), "others"
        own = replace(self, method=registry.find(by)) if by else self
        step = super(DeletionCounter, own).finetuned(seed, prior=prior, **paper)
        task = replace(step.task, target=_at_first(step.task.target, lambda own: self._answered(own, answers)))
        found = self._tuned(replace(step, task=task), rate, times, decay)
        if then:
            found = self._tuned(replace(found, base=found, task=self._to(then, task)), rate, times, decay)
        if taught != "distilled" or prior in NEVER_O_PT:
            return found
        return distilled(self, found, seed, start=self._student(found, seed, noise), **_STUDENT)

    def sized(self, case: Mapping[str, Any]) -> DeletionCounter:
        """The study whose models have the case's sizes; without anchors, which would be six more base models of that size."""
        width, blocks = (case.get(name, default) for name, default in zip(SIZES, (1, 0), strict=True))
        if width == 1 and not blocks:
            return self
        p = self.preset
        d_model = round(width * p.d_model / p.n_heads) * p.n_heads
        if d_model < p.n_heads or p.n_blocks + blocks < 1:
            raise UsageError(f"width={width}, blocks={blocks}: leaves a model without dimensions or blocks")
        return replace(self, preset=replace(p, d_model=d_model, n_blocks=p.n_blocks + blocks, anchor_seeds=()))

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the paper's, with the rate, the steps and the sizes that the conditions make of it."""
        found = dict(super().protocol(case))
        if "eta" in found:
            found |= {"eta": case.get("rate", 1) * found["eta"], "steps": round(case.get("times", 1) * found["steps"])}
        sized = self.sized(case)
        if sized is not self:
            found |= {"d_model": sized.preset.d_model, "n_blocks": sized.preset.n_blocks}
        return found

    def _check(self, answers: str, then: str, taught: str, noise: float, decay: float | None) -> None:
        if answers not in ("", "constant", "random"):
            raise UsageError(f"answers={answers}: must be constant or random")
        if taught not in ("", "distilled", "retrained"):
            raise UsageError(f"taught={taught}: must be distilled or retrained")
        if then and (then not in self.setting.operands or then in self.operands):
            others = [operand for operand in self.setting.operands if operand not in self.operands]
            raise UsageError(f"then={then}: must be a third operand: {', '.join(others)}")
        if not 0 <= noise <= 1:
            raise UsageError(f"noise={noise}: must be a share, 0 to 1")
        if noise != 1 and taught != "distilled":
            raise UsageError(f"noise={noise}: only what is distilled begins with noise; give taught=distilled, too")
        if decay is not None and not decay >= 0:
            raise UsageError(f"decay={decay}: must be 0 or more")

    def _answered(self, target: Task, answers: Answers) -> Task:
        if not answers:
            return target
        first = self.evaluation(self.operands[1], c_te=None).first_answer
        return Answered(task=target, constant=first + 1 if answers == "constant" else None)

    def _tuned(self, step: FineTune, rate: float, times: float, decay: float | None) -> FineTune:
        train = replace(step.train, lr=rate * step.train.lr, steps=round(times * step.train.steps))
        return replace(step, train=train if decay is None else replace(train, weight_decay=decay))

    def _to(self, operand: str, task: FineTuningTask) -> FineTuningTask:
        """Fine-tuning to another operand on natural strings, with as many pretraining texts among them."""
        then = self.evaluation(operand, c_te=None, split="train")
        return replace(task, target=_at_first(task.target, lambda _: then))

    def _student(self, teacher: Step, seed: int, noise: float) -> Step:
        if noise == 1:
            return self.initialised(another(seed))
        return Edit(
            start=teacher,
            edit="capbench.models.edits.deleting:redrawn",
            arguments={"share": noise},
            seed=subseed(seed, "noise before distilling"),
        )


def _at_first(target: Task, change: Callable[[Task], Task]) -> Task:
    """A fine-tuning's texts with its own part changed; pretraining texts among them stay as they are."""
    if isinstance(target, Mixture):
        return replace(target, parts=(change(target.parts[0]), *target.parts[1:]))
    return change(target)


def another(seed: int) -> int:
    """The seed of models that are compared with those of this seed and must not be of the same initialisation."""
    return seed + 50_000
