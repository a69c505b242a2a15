"""What a model tells: the stories that it goes on with, its loss on stories, and how likely it is to begin an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from capbench.measure.accuracy import device_of
from capbench.models.base import Model
from capbench.models.generation import generate
from capbench.tasks.base import IGNORE, Batch, Task
from capbench.tasks.stories import vocabulary
from capbench.tasks.stories.checker import Found, check_words
from capbench.tasks.stories.drawing import PROMPT, SEQ_LEN
from capbench.tasks.stories.features import FEATURES

_TOGETHER, _TOKENS = 256, 2**15  # stories at once, and tokens of them: in a long context fewer


@dataclass(frozen=True, kw_only=True)
class Told:
    """Stories that a model told. asked: which features each was asked for, in the order of FEATURES; found: what each has."""

    asked: tuple[tuple[bool, ...], ...]
    found: tuple[Found, ...]
    texts: tuple[str, ...]

    def share(self, feature: str) -> float:
        """The share of stories that have it. One with sentences that cannot be read may have it unseen; see `unread`."""
        return sum(feature in found.features for found in self.found) / len(self.found)

    def right(self, feature: str) -> float:
        """The share of stories that have it where it was asked for, and lack it where it was not."""
        place = FEATURES.index(feature)
        pairs = zip(self.found, self.asked, strict=True)
        return sum((feature in found.features) == asked[place] for found, asked in pairs) / len(self.found)

    def followed(self, feature: str) -> float:
        """How much more of those have it that were asked for with it than of the others, -1 to 1; 0 where one kind is missing."""
        place = FEATURES.index(feature)
        has: dict[bool, list[bool]] = {True: [], False: []}
        for found, asked in zip(self.found, self.asked, strict=True):
            has[asked[place]].append(feature in found.features)
        if not all(has.values()):
            return 0.0
        return sum(has[True]) / len(has[True]) - sum(has[False]) / len(has[False])

    @property
    def all_right(self) -> float:
        """The share of stories that have the features that they were asked for, and no others."""
        pairs = zip(self.found, self.asked, strict=True)
        expected = [frozenset(f for f, there in zip(FEATURES, asked, strict=True) if there) for _, asked in pairs]
        return sum(found.features == want for found, want in zip(self.found, expected, strict=True)) / len(self.found)

    @property
    def unread(self) -> float:
        """The share of stories with a sentence that is none of a story's: what is not known of them is not known."""
        return sum(bool(found.unread) for found in self.found) / len(self.found)

    @property
    def whole(self) -> float:
        """The share of stories that are whole: see `Found.whole`."""
        return sum(found.whole for found in self.found) / len(self.found)


def tell(
    model: Model,
    batch: Batch,
    asked: torch.Tensor | Sequence[Sequence[bool]],
    *,
    temperature: float = 0.0,
    rng: torch.Generator | None = None,
) -> Told:
    """Have a model tell a story for each instruction block of a batch; what follows the blocks is not looked at.

    asked: Bool[n, feature], what the blocks name, as `StoryTask.with_features` gives it. temperature, rng: see `generate`.
    """
    end = vocabulary.index()[vocabulary.END]
    parts = [
        generate(model, prompts, SEQ_LEN - PROMPT, end=end, temperature=temperature, rng=rng)
        for prompts in batch.tokens[:, :PROMPT].split(_TOGETHER)
    ]
    words = [vocabulary.words_of(tokens) for tokens in _until(torch.cat(parts), end)]
    return Told(
        asked=tuple(tuple(map(bool, row)) for row in torch.as_tensor(asked).tolist()),
        found=tuple(map(check_words, words)),
        texts=tuple(map(vocabulary.written, words)),
    )


@torch.no_grad()
def mean_loss(model: Model, batch: Batch) -> float:
    """Mean cross-entropy in nats of all targets of a batch."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for tokens, targets in _on_its_device(model, batch):
        logits = model(tokens).float()
        total += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"))
        count += int((targets != IGNORE).sum())
    model.train(was_training)
    return total / count


@torch.no_grad()
def answer_probability(model: Model, task: Task, batch: Batch, token: int) -> Float[Tensor, " batch"]:
    """The probability of a token as the answer, for each string."""
    was_training = model.training
    model.eval()
    parts = [
        model.answer_logits(tokens, task.answer_pos).float().softmax(-1)[:, token]
        for tokens, _ in _on_its_device(model, batch)
    ]
    model.train(was_training)
    return torch.cat(parts).cpu()


@torch.no_grad()
def mean_features(
    model: Model,
    tokens: Int[Tensor, "batch pos"],
    *,
    last: int = 10,
    ends: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "layer batch d_model"]:
    """The residual stream as its readers see it, averaged over the last positions (App. F), by layer.

    ends: tokens of each string, where they are not all as long.
    """
    was_training = model.training
    model.eval()
    ends = torch.full((len(tokens),), tokens.shape[1]) if ends is None else ends
    size = together(tokens.shape[1])
    parts = []
    for part, end in zip(tokens.to(device_of(model)).split(size), ends.to(device_of(model)).split(size), strict=True):
        resid = model.run_with_cache(part)[1].resid
        places = (end[:, None] - last + torch.arange(last, device=end.device)).clamp(min=0)[None, :, :, None]
        parts.append(model.as_read(resid.gather(2, places.expand(len(resid), -1, -1, resid.shape[-1]))).mean(2))
    model.train(was_training)
    return torch.cat(parts, dim=1).float().cpu()


def together(length: int) -> int:
    """How many stories of so many tokens are read at once."""
    return max(1, min(_TOGETHER, _TOKENS // length))


def _on_its_device(model: Model, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    device = device_of(model)
    size = together(batch.tokens.shape[1])
    return list(zip(batch.tokens.to(device).split(size), batch.targets.to(device).split(size), strict=True))


def _until(tokens: Tensor, end: int) -> list[list[int]]:
    """Each string up to its end."""
    rows: list[list[int]] = tokens.tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]
