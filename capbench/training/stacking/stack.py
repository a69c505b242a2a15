"""Several trainings with parameters in shared storage: one batched pass computes the losses and gradients of all."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from capbench.models.base import Model, hooked
from capbench.models.gpt import Gpt
from capbench.models.tracr.transformer import TracrTransformer
from capbench.tasks.base import IGNORE, Batch
from capbench.training.loop import Training, computing, next_token_loss
from capbench.training.stacking.passes import logits


def kind(training: Training) -> Hashable | None:
    """Trainings of equal kind can be stacked; None: this one cannot.

    Learning rates, seeds, steps, priors, C_Tr: everything that does not affect shapes may differ. A custom loss, hooks or foreign
    layers in the model prevent stacking.
    """
    model, config, task = training.model, training.config, training.task
    if training.loss is not next_token_loss or type(model) not in (Gpt, TracrTransformer) or _changed(model):
        return None
    trained = tuple((n, tuple(p.shape), p.requires_grad) for n, p in model.named_parameters())
    fixed = tuple((name, tuple(buffer.flatten().tolist())) for name, buffer in model.named_buffers())
    sizes = (config.batch_size, config.device, config.precision, task.answer_pos)
    return type(model), model.config, trained, fixed, sizes


def _changed(model: Model) -> bool:
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters()):
        return True  # gradient masks, as in wrapper-surgery
    plain = {torch.nn.Linear, torch.nn.LayerNorm, torch.nn.Embedding, torch.nn.ModuleList}
    own = (type(module) for module in model.modules())
    return hooked(model) or any(t not in plain and not t.__module__.startswith("capbench.models.") for t in own)


class Stack:
    """Trainings of one `kind`. Each keeps its model and optimizer, whose tensors become views of shared ones."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = tuple(trainings)
        self._model, self._config = trainings[0].model, trainings[0].config
        self._clip = torch.tensor([t.config.grad_clip for t in trainings], device=self._config.device)
        self._weight = torch.tensor([t.task.answer_weight for t in trainings], device=self._config.device)
        self._answer_pos = trainings[0].task.answer_pos
        each = [dict(t.model.named_parameters()) for t in trainings]
        self._shared: dict[str, Tensor] = {}
        # Allocate everything before changing anything: memory may run out.
        for name, parameter in each[0].items():
            self._shared[name] = shared = torch.stack([own[name].detach() for own in each])
            if parameter.requires_grad:
                shared.requires_grad_().grad = torch.zeros_like(shared)
        for name, shared in self._shared.items():
            for own, data in zip(each, shared.detach(), strict=True):
                own[name].data = data
            if shared.grad is not None:
                for own, grad in zip(each, shared.grad, strict=True):
                    own[name].grad = grad

    def release(self, training: Training) -> None:
        """Give a training its own copies of its tensors, independent of the stack.

        If the GPU has no memory left, the model is then on the CPU; call `bring_back` before it continues.
        """
        parameters = list(training.model.parameters())
        try:
            own = [parameter.data.clone() for parameter in parameters]
        except torch.OutOfMemoryError:
            training.model.to("cpu")
            own = [parameter.data for parameter in parameters]
        for parameter, data in zip(parameters, own, strict=True):
            parameter.data, parameter.grad = data, None

    @staticmethod
    def bring_back(training: Training) -> None:
        """Move the model of a released training back to its device, once the stack's memory is free."""
        training.model.to(training.config.device)

    def gradients(self, tokens: Tensor, targets: Tensor, span: tuple[int, int]) -> Float[Tensor, "figure model"]:
        """The losses of all on their batches, and the norms of their gradients before clipping; clips the gradients.

        tokens, targets: Int[model batch pos]. span: the range of positions with targets besides the answer.
        """
        trained = [shared.grad for shared in self._shared.values() if shared.grad is not None]
        torch._foreach_zero_(trained)
        with computing(self._config):
            losses = self._losses(tokens, targets, span)
        losses.sum().backward()
        each = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in trained])
        norms = torch.linalg.vector_norm(each, dim=0)
        factor = (self._clip / (norms + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_
        for gradient in trained:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
        return torch.stack([losses.detach().float(), norms])

    def _losses(
        self, tokens: Int[Tensor, "model batch pos"], targets: Int[Tensor, "model batch pos"], span: tuple[int, int]
    ) -> Float[Tensor, " model"]:
        """`next_token_loss` of each."""
        at = self._answer_pos
        if span == (0, 0):
            return _mean(logits(self._model, self._shared, tokens, at), targets[:, :, at : at + 1])
        found = logits(self._model, self._shared, tokens, None)
        answer = _mean(found[:, :, at : at + 1], targets[:, :, at : at + 1])
        others = targets[:, :, slice(*span)].clone()
        if span[0] <= at < span[1]:
            others[:, :, at - span[0]] = IGNORE
        weight = torch.where((others != IGNORE).flatten(1).any(1), self._weight, 1.0)
        return _mean(found[:, :, slice(*span)], others) + weight * answer


def _mean(
    found: Float[Tensor, "model batch pos vocab"], targets: Int[Tensor, "model batch pos"]
) -> Float[Tensor, " model"]:
    """Mean cross-entropy of each model over targets other than IGNORE; 0 without any."""
    each = F.cross_entropy(found.flatten(0, 2), targets.flatten(), ignore_index=IGNORE, reduction="none")
    return each.view(len(targets), -1).sum(1) / (targets != IGNORE).flatten(1).sum(1).clamp(min=1)


def span_of(batches: Sequence[Batch], answer_pos: int) -> tuple[int, int]:
    """The range [first, end) of positions with targets besides the answer in these batches; (0, 0) if none."""
    used = torch.stack([(batch.targets != IGNORE).any(0) for batch in batches]).any(0)
    used[answer_pos] = False
    at: list[int] = used.nonzero().flatten().tolist()
    return (at[0], at[-1] + 1) if at else (0, 0)
