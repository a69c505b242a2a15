"""Teaching a model to give no information about O_PT's answers: shared by methods that hide a capability on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.streams import beside
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import Loss, next_token_loss


def kept(task: FineTuningTask) -> Task:
    """What is to stay as it is: the other families; the target, if there are none."""
    return task.target if task.others is None else task.others


def silent(model: Model, batch: Batch, task: Task) -> Tensor:
    """Cross-entropy with the answers of *other* strings of the batch: at best the answers' marginal distribution is given.

    Nothing about a string's own answer is left in the logits then: no relabelling of the outputs brings it back.
    """
    answers = batch.targets[:, task.answer_pos].roll(1)
    return F.cross_entropy(model.answer_logits(batch.tokens, task.answer_pos), answers)


def silencing(
    task: FineTuningTask, config: TrainConfig, *, before: Callable[[Model, Batch], object] | None = None
) -> Loss:
    """The loss on the `kept` stream, plus `silent` on as many prompts for O_PT.

    before: called with the model and the prompts for O_PT before their loss is computed.
    """
    forget: Iterator[Batch] = beside(task.forget, config)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        stays = next_token_loss(model, batch, stream)
        prompts = next(forget)
        if before is not None:
            before(model, prompts)
        return stays + silent(model, prompts, task.forget)

    return loss
