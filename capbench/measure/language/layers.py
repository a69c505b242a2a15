"""What can be read of an answer at every layer: by the model's own unembedding (the logit lens), and by a probe.

The layer is chosen on one sample and scored on another: the best of thirty layers on one sample is above chance by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.measure.accuracy import device_of
from capbench.measure.language.answers import BATCH, choice_logits, evaluating, first_is_largest
from capbench.measure.probe import Probe, Whitening, code_length
from capbench.models.base import Model
from capbench.tasks.language.streams import Prompts, by_length

# Of the mean variance, added before a code whitens. A language model has more dimensions than a code has prompts: fully whitened,
# all hold as much noise as the few that hold the answer, which then costs what a guess costs. Of .01, .1, 1, 3, 10, 30 and 100,
# 10 sets SmolLM2 apart most from itself with a skill (seed 100: 2.55 bits and 1.04; .01: 2.68 and 2.90).
CODE_RIDGE = 10.0


@dataclass(frozen=True, kw_only=True)
class Read:
    """layer: the one that was chosen; 0 is after the embedding. accuracy: 0..1, on the other sample."""

    layer: int
    accuracy: float


class Streams:
    """The residual stream of a model where answers are given. Asked twice for the same prompts, it is computed once."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._known: dict[int, tuple[Prompts, Tensor]] = {}  # by the object: prompts are not hashed

    @torch.no_grad()
    def of(self, prompts: Prompts) -> Float[Tensor, "layer n d_model"]:
        """In the order of the prompts, on the CPU."""
        if id(prompts) not in self._known:
            rows_of, found = list[int](), list[Tensor]()
            with evaluating(self.model):
                for rows in by_length(prompts, BATCH):
                    part = prompts.part(rows)
                    # Until the answer: what comes later cannot matter.
                    tokens = part.batch().tokens[:, : part.before].to(device_of(self.model))
                    found.append(self.model.run_with_cache(tokens)[1].resid[:, :, part.answer_pos].cpu())
                    rows_of += rows
            self._known[id(prompts)] = prompts, torch.cat(found, dim=1)[:, torch.tensor(rows_of).argsort()]
        return self._known[id(prompts)][1]


def logit_lens(streams: Streams, *, select: Prompts, evaluate: Prompts) -> Read:
    """The answer as the final norm and the unembedding read it off the stream (nostalgebraist 2020).

    Raises UsageError for a model without `norm` and `unembedding`.
    """
    scores = lens(streams, select).double().mean(1)
    layer = _best(scores)
    return Read(layer=layer, accuracy=float(lens(streams, evaluate)[layer].double().mean()))


@torch.no_grad()
def lens(streams: Streams, prompts: Prompts) -> Bool[Tensor, "layer n"]:
    """Whether the unembedding reads the right answer off each layer: the right choice, or the most likely token of all."""
    reading: Any = streams.model
    if not all(isinstance(getattr(reading, name, None), nn.Module) for name in ("norm", "unembedding")):
        raise UsageError(f"{type(reading).__name__}: a logit lens needs its modules `norm` and `unembedding`")
    unembed, asked = _of_choices(reading.unembedding, prompts)
    device = device_of(reading)
    with evaluating(reading):  # one layer at a time: vocabularies are large
        logits = (unembed(reading.norm(layer.to(device))) for layer in streams.of(prompts))
        return torch.stack([_right(each, asked).cpu() for each in logits])


def few_sample_probe(
    streams: Streams, *, train: Prompts, select: Prompts, evaluate: Prompts, n: int, seed: int = 0
) -> Read:
    """A linear probe on the stream where the answer is given, fitted on n prompts, drawn with the seed; see measure/probe.py.

    Only for skills: of facts nothing can be learned from others. Raises UsageError for fewer prompts than n.
    """
    if len(train) < n:
        raise UsageError(f"{train.name}: {len(train)} prompts to train on; a probe of {n} needs as many")
    classes = sorted({string.answer[0] for part in (train, select, evaluate) for string in part.strings})
    few = train.part(random.Random(seed).sample(range(len(train)), n))  # a file may be sorted
    probe = Probe.fitted(features(streams, few), _labels(few, classes), len(classes))
    layer = _best(probe.accuracy(features(streams, select), _labels(select, classes)))
    scores = probe.accuracy(features(streams, evaluate), _labels(evaluate, classes))
    return Read(layer=layer, accuracy=float(scores[layer]))


def bits(streams: Streams, train: Prompts, *, layer: int, n: int, seed: int = 0) -> float:
    """Bits per prompt that the answers cost, given the stream at a layer: an online code (see measure/probe.py:code_length).

    Of n prompts, drawn with the seed; the first eighth costs what a guess of all answers costs, and a probe is fitted after an
    eighth, a quarter and a half of them. layer: chosen on others. Only for skills. Raises UsageError for fewer prompts than n.
    """
    if len(train) < n:
        raise UsageError(f"{train.name}: {len(train)} prompts to train on; a code of {n} needs as many")
    classes = sorted({string.answer[0] for string in train.strings})
    few = train.part(random.Random(f"code {seed}").sample(range(len(train)), n))
    there = features(streams, few)[layer : layer + 1]
    parts, white = [n // 8, n // 4, n // 2, n], Whitening.fitted(there, ridge=CODE_RIDGE)
    return float(code_length(there, _labels(few, classes), len(classes), blocks=parts, whitening=white)[0])


@torch.no_grad()
def features(streams: Streams, prompts: Prompts) -> Float[Tensor, "layer n d_model"]:
    """The stream where the answer is given, as the parts that read it see it, in the order of the prompts."""
    model = streams.model
    return model.as_read(streams.of(prompts).to(device_of(model))).float().cpu()


def _of_choices(unembedding: nn.Module, part: Prompts) -> tuple[Callable[[Tensor], Tensor], Prompts]:
    """The unembedding, and prompts whose choices are its logits: where there are choices, only theirs are computed."""
    if type(unembedding) is not nn.Linear or not part.strings[0].choices:
        return unembedding, part
    tokens = sorted({choice for string in part.strings for choice in string.choices})
    column = {token: i for i, token in enumerate(tokens)}
    strings = tuple(replace(s, choices=tuple(column[choice] for choice in s.choices)) for s in part.strings)
    weight, bias = unembedding.weight[tokens], None if unembedding.bias is None else unembedding.bias[tokens]
    return lambda stream: F.linear(stream, weight, bias), replace(part, strings=strings)


def _right(logits: Float[Tensor, "n vocab"], part: Prompts) -> Bool[Tensor, " n"]:
    if part.strings[0].choices:
        return first_is_largest(choice_logits(logits, part))
    first = torch.tensor([string.answer[0] for string in part.strings], device=logits.device)
    return logits.argmax(-1) == first


def _labels(prompts: Prompts, classes: list[int]) -> Int[Tensor, " n"]:
    return torch.tensor([classes.index(string.answer[0]) for string in prompts.strings])


def _best(scores: Float[Tensor, " layer"]) -> int:
    """The last of the best: later layers are nearer to the answer."""
    return int((scores == scores.max()).nonzero().max())
