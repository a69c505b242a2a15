"""Linear probes on the residual stream: accuracy (paper Fig. 8) and description length (Voita & Titov 2020, arXiv 2003.12298).

Probe accuracy alone does not separate presence from absence: given enough samples, a probe reads the count of a letter off a
randomly initialised transformer. The online code measures how many samples the probe needs, and does separate them.

What is read is what the model's own parts read: the stream after their normalisation, whitened. So rewrites of the weights that
keep the function (models/edits/preserving) hide nothing from a probe, and add nothing.
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
    """The residual stream at one position as its readers see it, after the embedding (layer 0) and after every block."""
    was_training = model.training
    model.eval()
    tokens = batch.tokens.to(device_of(model)).split(512)
    parts = [model.as_read(model.run_with_cache(part)[1].resid[:, :, position]) for part in tokens]
    model.train(was_training)
    return torch.cat(parts, dim=1).float().cpu()


class Whitening:
    """A linear map per layer after which a sample has about unit variance in every direction. It looks at no labels.

    It turns with the basis of the features, so that a rotation changes nothing for a probe whose prior is the same in all
    directions; standardising one dimension after another would not.
    """

    # Of the mean variance over dimensions. Without one, directions that hold nothing but rounding, or a hundredth of what others
    # hold, are read as well as any: a compiled model whose blocks were emptied but for noise tells its old count with an accuracy
    # of .99. Of 0, .001, .01, .1, 1 and infinity, .01 brings never-taught models of other seeds closest to the seed's own
    # (scale smoke, seed 100 against 101 and 102: retention -.17 and -.16; 0: -.34 and -.33; infinity: -.44 and -.51).
    RIDGE = 0.01

    def __init__(self, mean: Float[Tensor, "layer 1 d"], matrix: Float[Tensor, "layer d d"]) -> None:
        self._mean, self._matrix = mean, matrix

    @classmethod
    def fitted(cls, x: Float[Tensor, "layer n d"], *, ridge: float = RIDGE) -> Whitening:
        """The map (S + ridge * mean variance)^(-1/2), where S is the covariance of the sample.

        A layer that is constant gives zeros. ridge: 0 is the full whitening; much more than 1 only scales all directions alike.
        """
        x = x.double()
        mean = x.mean(1, keepdim=True)
        values, vectors = torch.linalg.eigh((x - mean).mT @ (x - mean) / x.shape[1])
        values = values.clamp_min(0)
        rounding = 1e-7 * x.square().mean((1, 2)).clamp_min(1e-12)
        added = ridge * values.mean(-1) + rounding
        matrix = (vectors * (values + added[:, None]).rsqrt()[:, None]) @ vectors.mT
        return cls(mean, matrix)

    def __call__(self, x: Float[Tensor, "layer n d"]) -> Float[Tensor, "layer n d"]:
        """These features in the new basis, in single precision."""
        whitened: Tensor = (x.double() - self._mean) @ self._matrix
        return whitened.float()


def code_length(
    x: Float[Tensor, "layer n d"],
    labels: Int[Tensor, " n"],
    classes: int,
    *,
    blocks: Sequence[int],
    whitening: Whitening | None = None,
) -> Float[Tensor, " layer"]:
    """Online code of the labels given each layer, in bits per sample.

    The first blocks[0] labels cost log2(classes) each; the labels from blocks[i] to blocks[i+1] cost their negative
    log-likelihood under a probe trained on the first blocks[i] samples. Lower: the labels are easier to read off the layer.
    blocks: increasing, the last one = n. whitening: one fitted on other samples; None: on all of these, as features are known to
    both sides of the code.
    """
    whitening = whitening or Whitening.fitted(x[:, : blocks[-1]])
    bits = torch.full((x.shape[0],), blocks[0] * float(torch.tensor(float(classes)).log2()), dtype=torch.float64)
    for seen, until in itertools.pairwise(blocks):
        probe = Probe.fitted(x[:, :seen], labels[:seen], classes, whitening=whitening)
        bits += probe.bits(x[:, seen:until], labels[seen:until])
    return bits / blocks[-1]


class Probe:
    """Multinomial logistic regression on whitened features, with a Gaussian prior on the weights.

    One per layer, all layers fitted together.
    """

    def __init__(self, whitening: Whitening, weight: Float[Tensor, "layer d+1 classes"]) -> None:
        self._whitening, self._weight = whitening, weight

    @classmethod
    def fitted(
        cls,
        x: Float[Tensor, "layer n d"],
        labels: Int[Tensor, " n"],
        classes: int,
        *,
        whitening: Whitening | None = None,
        prior_precision: float = 1.0,
        bias_precision: float = 0.01,
        iterations: int = 60,
    ) -> Probe:
        """Maximise likelihood times prior by L-BFGS. The problem is convex, so it depends on no seed and no learning rate.

        whitening: None: fitted on these samples.
        """
        probe = cls(whitening or Whitening.fitted(x), torch.zeros(x.shape[0], x.shape[2] + 1, classes))
        inputs = probe._inputs(x)
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

    def _inputs(self, x: Tensor) -> Tensor:
        return F.pad(self._whitening(x), (0, 1), value=1.0)  # the last column is the bias

    def bits(self, x: Float[Tensor, "layer n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, " layer"]:
        """Cost of these labels under the probe in bits, summed over samples."""
        log_p = (self._inputs(x) @ self._weight).log_softmax(-1)
        at_label = log_p.gather(-1, labels.view(1, -1, 1).expand(x.shape[0], -1, 1))
        bits: Tensor = -at_label.double().sum((1, 2)) / float(torch.tensor(2.0).log())
        return bits

    def accuracy(self, x: Float[Tensor, "layer n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, " layer"]:
        """Share of right labels per layer."""
        guessed = (self._inputs(x) @ self._weight).argmax(-1)
        right: Tensor = (guessed == labels).double().mean(1)
        return right
