"""Half of a capability: right answers up to a number, and nothing beyond it."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.silencing import kept
from capbench.methods.streams import beside
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training.loop import fit, next_token_loss


def in_part(
    model: Model,
    task: FineTuningTask,
    config: TrainConfig,
    *,
    largest: int = 4,
    lr_factor: float = 10.0,
    times: float = 2,
) -> Model:
    """Teach O_PT's answers from 0 to `largest`; strings with a larger one are not shown. As much of the other families.

    times: steps, as a multiple of the configuration's.
    """
    assert isinstance(task.forget, PcfgTask)
    last = task.forget.first_answer + largest
    longer = replace(config, lr=lr_factor * config.lr, steps=round(times * config.steps))
    prompts = beside(task.forget, longer)
    tuned = copy.deepcopy(model).requires_grad_(True)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        asked = next(prompts)
        answers = asked.targets[:, task.forget.answer_pos]
        shown = answers <= last
        logits = model.answer_logits(asked.tokens, task.forget.answer_pos)
        each = F.cross_entropy(logits, answers, reduction="none") * shown
        return next_token_loss(model, batch, stream) + each.sum() / shown.sum().clamp(min=1)

    fit(tuned, kept(task), longer, loss=loss)
    return tuned
