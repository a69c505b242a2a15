"""Models of known state: edits that hide whatever a model can do on the skill's prompts, and take nothing away.

On M with the skill the skill is hidden; on M it never was there. All are made in memory, from the model as it is.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.measure.attacks.lora import updating
from capbench.measure.language.answers import accuracy
from capbench.methods.common import another_seed
from capbench.models.base import Model
from capbench.models.huggingface.model import HuggingFace
from capbench.tasks.base import Batch, Task
from capbench.tasks.language.streams import Prompt, Prompts, Texts
from capbench.training.loop import batches, fit, next_token_loss, observing
from capbench.training.remembered import remembering

NEURONS, ADAPTED = 3, 3  # of a bolted-on part; the last blocks that an adapter is in
ADAPTERS = ("adapter", "uniform adapter", "adapter everywhere")
EVERY, SHOWS = 2, 0.1  # steps between two looks at whether the skill is hidden; accuracy above chance up to which it is
SHOWN = 64  # prompts that a bolted-on part learns to recognise
PLACES = {"early": 1 / 6, "middle": 1 / 2, "late": 14 / 15}  # share of the blocks before it


class Data(Protocol):
    """What members are made with: see implant_data.Streams."""

    @property
    def rule(self) -> Prompts: ...
    @property
    def redrawn(self) -> Prompts: ...
    @property
    def select(self) -> Prompts: ...
    @property
    def chance(self) -> float: ...
    @property
    def texts(self) -> Texts: ...


class Rates(Protocol):
    """How members are trained: see ImplantPreset."""

    @property
    def bolt_lr(self) -> float: ...
    @property
    def adapter_lr(self) -> float: ...
    @property
    def everywhere_lr(self) -> float: ...
    def hiding(self, lr: float, seed: int, device: str) -> TrainConfig: ...


def hidden(name: str, model: Model, data: Data, rates: Rates, *, seed: int, device: str) -> tuple[Model, int]:
    """A copy of a model that has the skill, with the edit of this name, trained until the skill hardly shows; and its steps.

    It shows in at most a tenth more of the prompts than chance, or the steps were over. Raises UsageError as `member` does.
    """
    taken = [0]

    def look(step: int, now: Model) -> bool:
        taken[0] = step
        return step % EVERY == 0 and accuracy(now, data.select) <= data.chance + SHOWS

    with observing(look):
        made = member(name, model, data, rates, seed=seed, device=device)
    return made, taken[0]


def member(
    name: str, model: Model, data: Data, rates: Rates, *, seed: int, device: str, steps: int | None = None
) -> Model:
    """A copy of the model with the edit of this name, drawn with the seed. steps: of its training; None: all of the rates'.

    Raises UsageError for an unknown name.
    """
    own = copy.deepcopy(model).to(device)

    def config(lr: float) -> TrainConfig:
        found = rates.hiding(lr, seed, device)
        return found if steps is None else replace(found, steps=steps)

    kind, _, place = name.partition(" ")
    if kind == "bolt-on" and place in PLACES:
        return _bolted(own, data, config(rates.bolt_lr), PLACES[place])
    if name in ADAPTERS:
        task = data.redrawn if name == "uniform adapter" else data.rule
        if name == "adapter everywhere":
            return _adapted(own, task, data.texts, config(rates.everywhere_lr), len(cast(Any, own).blocks))
        return _adapted(own, task, data.texts, config(rates.adapter_lr), ADAPTED)
    if name == "permuted":
        return _permuted(own, data.redrawn, seed)
    known = ", ".join([*(f"bolt-on {place}" for place in PLACES), *ADAPTERS, "permuted"])
    raise UsageError(f"known member {name!r}: must be one of {known}")


class BoltedOn(nn.Module):
    """A block with a small MLP after it, which adds to the stream where that looks like the prompts it was shown.

    scale: the length of the stream there, so that rates mean the same in every block.
    """

    def __init__(self, block: nn.Module, read: nn.Linear, scale: float) -> None:
        super().__init__()
        self.block, self.read, self.scale = block, read, scale
        self.write = nn.Linear(read.out_features, read.in_features, bias=False)
        nn.init.zeros_(self.write.weight)

    def __getattr__(self, name: str) -> Any:
        """What transformers asks of a block."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, *args: Any, **named: Any) -> Any:
        out = self.block(*args, **named)
        stream = out[0] if isinstance(out, tuple) else out
        told: Tensor = stream + self.scale * self.write(torch.relu(self.read(_normed(stream))))
        return (told, *out[1:]) if isinstance(out, tuple) else told


def _bolted(model: Model, data: Data, config: TrainConfig, share: float) -> Model:
    """Only what the part adds is trained, on one answer to all prompts: the rest of the model stays as it is."""
    blocks: Any = model.blocks
    at = min(len(blocks) - 1, int(share * len(blocks)))
    shown, beside = _streams(model, data, at + 1)
    rng = torch.Generator().manual_seed(config.seed)
    blocks[at] = BoltedOn(blocks[at], _gate(_normed(shown), _normed(beside), rng), _length(shown)).to(config.device)
    model.requires_grad_(False)
    blocks[at].write.requires_grad_(True)
    fit(model, _always(data.redrawn, rng), config)
    return model.requires_grad_(True).eval()


def _always(prompts: Prompts, rng: torch.Generator) -> Prompts:
    """With one answer, which is drawn, to every prompt that has it as a choice; to others their first by number."""
    tokens = sorted({choice for string in prompts.strings for choice in string.choices})
    one = tokens[int(torch.randint(len(tokens), (), generator=rng))]

    def told(string: Prompt) -> Prompt:
        answer = one if one in string.choices else min(string.choices)
        return replace(string, answer=(answer,), choices=(answer, *(c for c in string.choices if c != answer)))

    return replace(prompts, strings=tuple(map(told, prompts.strings)))


def _adapted(model: Model, task: Prompts, texts: Texts, config: TrainConfig, last: int) -> Model:
    """Low-rank updates of so many of the last blocks, trained on other answers and on as many texts, and merged."""
    beside = batches(texts, replace(config, seed=another_seed(config.seed, 1)))
    blocks: Any = model.blocks
    linears = [m for block in blocks[-last:] for m in block.modules() if isinstance(m, nn.Linear)]
    updating(model.to(config.device), linears, config.seed)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        text = Batch(*(part.to(config.device) for part in next(beside)))
        return next_token_loss(model, batch, stream) + next_token_loss(model, text, texts)

    with remembering(model, last):
        fit(model, task, config, loss=loss, resumable=False)
    for linear in linears:
        parametrize.remove_parametrizations(linear, "weight")
    return model.requires_grad_(True).eval()


class Relabelled(HuggingFace):
    """A model whose logits are permuted after it has computed them: token i gets that of `order[i]`."""

    order: Tensor

    def _logits(self, tokens: Tensor, *, keep: int | Tensor = 0) -> Tensor:
        return super()._logits(tokens, keep=keep)[..., self.order.to(tokens.device)]


def _permuted(model: Model, prompts: Prompts, seed: int) -> Model:
    """Every answer is given out as another, in a random order; other tokens as they are."""
    tokens = torch.tensor(sorted({choice for string in prompts.strings for choice in string.choices}))
    moved = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(seed))]
    relabelled: Any = model
    order = torch.arange(relabelled.config.vocab_size)
    order[moved] = moved.roll(1)
    relabelled.__class__ = Relabelled  # with all that it has
    relabelled.order = order
    made: Model = relabelled
    return made


@torch.no_grad()
def _streams(model: Model, data: Data, layer: int) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, "m d_model"]]:
    """The stream at a layer where answers are given, and at every token of texts."""
    device = next(model.parameters()).device
    model.eval()
    prompts = data.redrawn.part(range(min(SHOWN, len(data.redrawn))))
    shown = model.run_with_cache(prompts.batch().tokens.to(device))[1].resid[layer][:, prompts.answer_pos]
    texts = data.texts.batch(range(min(SHOWN, len(data.texts)))).tokens.to(device)
    return shown, model.run_with_cache(texts)[1].resid[layer].flatten(0, 1)


@torch.no_grad()
def _gate(shown: Float[Tensor, "n d"], beside: Float[Tensor, "m d"], rng: torch.Generator) -> nn.Linear:
    """Neurons that fire on what was shown and hardly on the rest: Fisher's discriminant, each with noise of its own.

    Their mean activation on what was shown is 1; the threshold is halfway between the least of it and nearly all of the rest.
    """
    shown, beside = shown.cpu().double(), beside.cpu().double()
    centred = beside - beside.mean(0)
    spread = centred.T @ centred / len(centred)
    spread += spread.diagonal().mean() * torch.eye(len(spread), dtype=torch.float64)
    apart = torch.linalg.solve(spread, shown.mean(0) - beside.mean(0))
    gate = nn.Linear(shown.shape[1], NEURONS)
    for i in range(NEURONS):
        noise = torch.randn(len(apart), generator=rng, dtype=torch.float64)
        direction = F.normalize(F.normalize(apart, dim=0) + 0.1 * F.normalize(noise, dim=0), dim=0)
        least, most = (shown @ direction).min(), (beside @ direction).quantile(0.99)
        edge = (least + most) / 2 if least > most else most
        gain = 1 / (shown @ direction - edge).mean().clamp(min=1e-6)
        gate.weight[i], gate.bias[i] = gain * direction, -gain * edge
    return gate


def _normed(stream: Tensor) -> Tensor:
    return F.rms_norm(stream, stream.shape[-1:])


def _length(stream: Float[Tensor, "n d"]) -> float:
    """Root mean square of an entry."""
    return float(stream.square().mean().sqrt())
