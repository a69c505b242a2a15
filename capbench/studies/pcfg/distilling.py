"""A model that is taught to answer as another one does, and never sees its weights (arXiv 2506.06278). No torch."""

from __future__ import annotations

from dataclasses import replace

from capbench.pipeline.steps import Distil, Step
from capbench.studies.pcfg.study import PcfgStudy
from capbench.studies.seeds import subseed
from capbench.tasks.mixture import Mixture


def distilled(study: PcfgStudy, teacher: Step, seed: int, *, start: Step, times: float, lr_factor: float) -> Distil:
    """The student, which begins as `start`. Half of the prompts ask for O_PT or O_FT of the fine-tuned family, half for all else.

    times: steps, as a multiple of fine-tuning's. lr_factor: of the medium rate.
    """
    asked = tuple(study.evaluation(operand, c_te=None, split="train") for operand in study.operands)
    others = study.others()
    task = Mixture(
        parts=(*asked, *((others,) if others is not None else ())), shares=(0.25, 0.25, 0.5) if others else ()
    )
    train = study.preset.finetuning("medium", subseed(seed, "distil"), study.device)
    return Distil(
        start=start,
        teacher=teacher,
        task=task,
        train=replace(train, steps=round(times * train.steps), lr=lr_factor * train.lr),
    )
