"""Linear probes on the residual stream: accuracy (paper Fig. 8) and description length (Voita & Titov 2020, arXiv 2003.12298).

Probe accuracy alone does not separate presence from absence: given enough samples, a probe reads the count of a letter off a
randomly initialised transformer. The online code measures how many samples the probe needs, and does separate them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from capbench.measure.accuracy import device_of
from capbench.models.base import Model
from capbench.tasks.base import Batch


@torch.no_grad()
def features(model: Model, batch: Batch, position: int) -> Float[Tensor, "layer batch d_model"]:
    """The residual stream at one position, after the embedding (layer 0) and after every block."""
    was_training = model.training
    model.eval()
    tokens = batch.tokens.to(device_of(model)).split(512)
    parts = [model.run_with_cache(part)[1].resid[:, :, position] for part in tokens]
    model.train(was_training)
    return torch.cat(parts, dim=1).float().cpu()


def code_length(
    x: Float[Tensor, "layer n d"], labels: Int[Tensor, " n"], classes: int, *, blocks: Sequence[int]
) -> Float[Tensor, " layer"]:
    """Online code of the labels given each layer, in bits per sample.

    The first blocks[0] labels cost log2(classes) each; the labels from blocks[i] to blocks[i+1] cost their negative
    log-likelihood under a probe trained on the first blocks[i] samples. Lower: the labels are easier to read off the layer.
    blocks: increasing, the last one = n.
    """
    bits = torch.full((x.shape[0],), blocks[0] * float(torch.tensor(float(classes)).log2()), dtype=torch.float64)
    for seen, until in itertools.pairwise(blocks):
        probe = Probe.fitted(x[:, :seen], labels[:seen], classes)
        bits += probe.bits(x[:, seen:until], labels[seen:until])
    return bits / blocks[-1]


class Probe:
    """Multinomial logistic regression with a Gaussian prior on the weights, one per layer, all layers fitted together."""

    def __init__(self, mean: Tensor, scale: Tensor, weight: Float[Tensor, "layer d+1 classes"]) -> None:
        self._mean, self._scale, self._weight = mean, scale, weight

    @classmethod
    def fitted(
        cls,
        x: Float[Tensor, "layer n d"],
        labels: Int[Tensor, " n"],
        classes: int,
        *,
        prior_precision: float = 1.0,
        bias_precision: float = 0.01,
        iterations: int = 60,
    ) -> Probe:
        """Maximise likelihood times prior by L-BFGS. The problem is convex, so it depends on no seed and no learning rate."""
        mean = x.mean(1, keepdim=True)
        scale = x.std(1, keepdim=True, unbiased=False).clamp_min(1e-6)
        probe = cls(mean, scale, torch.zeros(x.shape[0], x.shape[2] + 1, classes))
        inputs = probe._standardise(x)
        weight = probe._weight.requires_grad_()
        optimizer = torch.optim.LBFGS([weight], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe")
        targets = labels.expand(x.shape[0], -1).flatten()

        def loss() -> Tensor:
            optimizer.zero_grad()
            fit = F.cross_entropy((inputs @ weight).flatten(0, 1), targets, reduction="sum")
            # The bias needs a weak prior too: without one, the bias of a class not seen yet has no optimum.
            squares = (prior_precision * weight[:, :-1].square().sum(), bias_precision * weight[:, -1].square().sum())
            value: Tensor = fit + 0.5 * sum(squares)
            value.backward()
            return value

        optimizer.step(loss)
        weight.requires_grad_(False)
        return probe

    def _standardise(self, x: Tensor) -> Tensor:
        return F.pad((x - self._mean) / self._scale, (0, 1), value=1.0)  # the last column is the bias

    def bits(self, x: Float[Tensor, "layer n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, " layer"]:
        """Cost of these labels under the probe in bits, summed over samples."""
        log_p = (self._standardise(x) @ self._weight).log_softmax(-1)
        at_label = log_p.gather(-1, labels.view(1, -1, 1).expand(x.shape[0], -1, 1))
        bits: Tensor = -at_label.double().sum((1, 2)) / float(torch.tensor(2.0).log())
        return bits

    def accuracy(self, x: Float[Tensor, "layer n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, " layer"]:
        """Share of right labels per layer."""
        guessed = (self._standardise(x) @ self._weight).argmax(-1)
        right: Tensor = (guessed == labels).double().mean(1)
        return right
