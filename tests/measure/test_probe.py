"""Probes tell labels that are there from labels that are not, by description length; and fit what they say they fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hand_made import SYMBOLS, Linear, Repeat
from scipy.optimize import minimize
from torch import Tensor

from capbench.configs import GptConfig
from capbench.measure.accuracy import sample
from capbench.measure.probe import Probe, Whitening, code_length, features
from capbench.models.edits import preserving
from capbench.models.gpt import Gpt

CLASSES, BLOCKS, N = 4, (32, 64, 128, 256, 512), 512


def labelled(*noise: float, n: int = N, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features [layer, n, 6] that are the label, one-hot, plus noise of one standard deviation per layer; labels [n]."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=rng)
    signal = torch.nn.functional.one_hot(labels, 6).float()
    draws = torch.randn(n, 6, generator=rng)
    return torch.stack([signal + s * draws if math.isfinite(s) else draws for s in noise]), labels


# ---- description length


def test_labels_that_are_in_the_features_cost_few_bits_and_labels_that_are_not_cost_their_entropy() -> None:
    x, labels = labelled(0.01, 0.5, math.inf)
    plain, noisy, absent = code_length(x, labels, CLASSES, blocks=BLOCKS).tolist()
    first_block = 2 * BLOCKS[0] / N  # nothing is known there: log2(4) bits each
    assert first_block <= plain < first_block + 0.1
    assert absent > 1.95
    assert plain + 0.3 < noisy < absent - 0.3


def test_the_probe_is_right_where_the_labels_are_and_guesses_where_they_are_not() -> None:
    x, labels = labelled(0.01, 0.5, math.inf, n=1024)
    probe = Probe.fitted(x[:, :N], labels[:N], CLASSES)
    plain, noisy, absent = probe.accuracy(x[:, N:], labels[N:]).tolist()
    assert plain == 1.0
    assert 0.55 < noisy < 0.95
    assert absent == pytest.approx(1 / CLASSES, abs=0.08)


@pytest.mark.parametrize("seed", range(3))
def test_more_noise_costs_more_bits(seed: int) -> None:
    x, labels = labelled(0.0, 0.2, 0.4, 0.8, 1.6, seed=seed)
    bits = code_length(x, labels, CLASSES, blocks=BLOCKS).tolist()
    assert bits == sorted(bits)
    assert bits[-1] - bits[0] > 1


def test_more_samples_make_the_rest_cheaper() -> None:
    x, labels = labelled(0.4)
    long, short = (code_length(x[:, : b[-1]], labels[: b[-1]], CLASSES, blocks=b).item() for b in (BLOCKS, BLOCKS[:3]))
    assert long < short


# features all the same, so the probe can only learn how often each class comes
HAND_WORKED = [
    # blocks, classes, labels, bits in all
    ((2, 4), 2, [0, 1, 0, 1], 2 * 1 + 2 * 1),
    ((4, 8), 4, [0, 1, 2, 3, 0, 0, 0, 1], 4 * 2 + 4 * 2),
    ((4, 8), 2, [0, 0, 0, 1, 0, 0, 1, 1], 4 * 1 + 2 * math.log2(4 / 3) + 2 * 2),
    ((2, 4, 8), 2, [0, 1, 0, 0, 0, 0, 1, 1], 2 * 1 + 2 * 1 + 2 * math.log2(4 / 3) + 2 * 2),
    ((4,), 8, [0, 1, 2, 7], 4 * 3),  # one block: nothing but the uniform code
]


@pytest.mark.parametrize(("blocks", "classes", "labels", "bits"), HAND_WORKED)
def test_the_online_code_adds_up_its_blocks(
    blocks: tuple[int, ...], classes: int, labels: list[int], bits: float
) -> None:
    x = torch.full((2, len(labels), 3), 0.1)
    found = code_length(x, torch.tensor(labels), classes, blocks=blocks)
    assert found.tolist() == pytest.approx([bits / len(labels)] * 2, abs=5e-3)


def test_samples_beyond_the_last_block_do_not_count() -> None:
    x, labels = labelled(0.5)
    short = code_length(x[:, :128], labels[:128], CLASSES, blocks=(32, 64, 128))
    assert code_length(x, labels, CLASSES, blocks=(32, 64, 128)).tolist() == pytest.approx(short.tolist())


def test_scale_offset_and_basis_of_the_features_do_not_matter() -> None:
    x, labels = labelled(0.5)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(3))).Q
    unequal = x * torch.tensor([1.0, 1, 1, 1, 10, 10])  # so that turning the basis mixes large with small
    turned = unequal @ rotation
    for one, other in ((x, 1000 * x - 300), (unequal, turned), (unequal, 0.01 * turned + 5)):
        bits = [code_length(f, labels, CLASSES, blocks=(64, 256)).item() for f in (one, other)]
        assert bits[0] == pytest.approx(bits[1], abs=5e-3)


def test_large_directions_without_the_labels_do_not_hide_small_ones_with_them() -> None:
    x, labels = labelled(0.3)
    beside = 3 * torch.randn(1, N, 2, generator=torch.Generator().manual_seed(4))
    alone, both = (code_length(f, labels, CLASSES, blocks=BLOCKS).item() for f in (x, torch.cat([x, beside], -1)))
    assert both < alone + 0.1


# ---- whitening


def test_a_whitened_sample_has_unit_variance_in_every_direction() -> None:
    x = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[2.0, 1, 0, 0]] * 2 + [[0, 0, 1, 3.0]] * 2
    )
    x = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) + 7
    white = Whitening.fitted(x, ridge=0)(x)
    for layer in white:
        assert torch.allclose(layer.T.cov(correction=0), torch.eye(4), atol=1e-3)
    assert white.mean(1).abs().max() < 1e-4
    only_scaled = Whitening.fitted(x, ridge=1e6)(x)
    correlation = torch.stack([f[0].T.corrcoef() for f in (x, only_scaled)])
    assert torch.allclose(correlation[0], correlation[1], atol=1e-4), "a large ridge turns nothing"


def test_a_ridge_leaves_small_that_which_is_a_thousandth_of_the_rest() -> None:
    x = torch.randn(1, 400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 1e-3])
    spread = Whitening.fitted(x)(x).std(1)[0]
    assert spread[:2].min() > 0.9 and spread[2] < 0.02


def test_whitening_is_fitted_once_and_reads_other_samples_in_the_same_basis() -> None:
    x, labels = labelled(0.5)
    whitening = Whitening.fitted(x[:, :300])
    assert torch.equal(whitening(x)[:, 10:20], whitening(x[:, 10:20]))
    given, own = (code_length(x, labels, CLASSES, blocks=BLOCKS, whitening=w).item() for w in (whitening, None))
    assert given == pytest.approx(own, abs=0.05)


def test_a_constant_layer_gives_zeros() -> None:
    for value in (0.0, 3.0):
        assert not Whitening.fitted(torch.full((1, 20, 4), value))(torch.full((1, 5, 4), value)).any()


def test_all_layers_fitted_together_are_as_if_each_were_fitted_alone() -> None:
    x, labels = labelled(0.05, 0.5, 1.0, math.inf)
    together = code_length(x, labels, CLASSES, blocks=BLOCKS).tolist()
    alone = [code_length(layer[None], labels, CLASSES, blocks=BLOCKS).item() for layer in x]
    assert together == pytest.approx(alone, abs=2e-3)


# ---- the fit


def test_the_fit_is_the_optimum_that_scipy_finds() -> None:
    x, labels = labelled(0.7, n=60)
    a = x[0].double().numpy()
    values, vectors = np.linalg.eigh(np.cov(a.T, bias=True))
    a = np.c_[(a - a.mean(0)) @ vectors / np.sqrt(values + 0.01 * values.mean()) @ vectors.T, np.ones(60)]
    wanted = labels.numpy()

    def objective(flat: np.ndarray) -> float:
        """Minus the log-likelihood minus the log-density of a standard normal prior on all but the bias."""
        w = flat.reshape(7, CLASSES)
        scores = a @ w
        fit = (np.logaddexp.reduce(scores, axis=1) - scores[np.arange(60), wanted]).sum()
        return float(fit + 0.5 * (w[:-1] ** 2).sum())

    optimum = minimize(objective, np.zeros(7 * CLASSES), method="BFGS", options={"gtol": 1e-4}).x.reshape(7, CLASSES)
    scores = a @ optimum
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    probe = Probe.fitted(x, labels, CLASSES)
    for k in range(CLASSES):  # every string's probability of every class, by asking for its bits
        found = [probe.bits(x[:, i : i + 1], torch.tensor([k])).item() for i in range(60)]
        assert found == pytest.approx((-log_p[:, k] / math.log(2)).tolist(), abs=0.02)


def test_a_stronger_prior_keeps_the_probe_closer_to_the_class_frequencies() -> None:
    x, labels = labelled(0.1)
    bits = [Probe.fitted(x, labels, CLASSES, prior_precision=p).bits(x, labels).item() / N for p in (0.1, 10, 1e6)]
    assert bits == sorted(bits)
    frequencies = labels.bincount() / N
    assert bits[-1] == pytest.approx(-float((frequencies * frequencies.log2()).sum()), abs=0.01)


def test_the_fit_needs_no_seed_and_leaves_its_input_alone() -> None:
    x, labels = labelled(0.5)
    before = x.clone(), labels.clone()
    torch.manual_seed(1)
    first = code_length(x, labels, CLASSES, blocks=(64, 256))
    torch.manual_seed(2)
    assert code_length(x, labels, CLASSES, blocks=(64, 256)).equal(first)
    assert x.equal(before[0])
    assert labels.equal(before[1])


def test_a_class_not_seen_costs_more_than_any_seen_one_but_not_infinitely_much() -> None:
    x, labels = labelled(0.3)
    probe = Probe.fitted(x, labels % 2, CLASSES)  # classes 2 and 3 never come
    seen, unseen = probe.bits(x, labels % 2).item() / N, probe.bits(x, torch.full_like(labels, 3)).item() / N
    assert seen < 1
    assert 4 < unseen < 100
    assert probe.accuracy(x, torch.full_like(labels, 3)).item() == 0


def test_what_an_unseen_class_costs_does_not_depend_on_when_the_fit_stops() -> None:
    x, labels = labelled(0.3, 0.6)
    costs = [
        Probe.fitted(x, labels % 3, CLASSES, iterations=i).bits(x, torch.full_like(labels, 3)) / N for i in (60, 600)
    ]
    assert costs[0].tolist() == pytest.approx(costs[1].tolist(), rel=0.02)


def test_with_unseen_classes_too_each_layer_is_as_if_fitted_alone() -> None:
    x, labels = labelled(0.05, 0.5, math.inf)
    late = torch.cat([labels[:64] % 3, labels[64:]])  # the last class comes only after the first two fits
    together = code_length(x, late, CLASSES, blocks=BLOCKS).tolist()
    alone = [code_length(layer[None], late, CLASSES, blocks=BLOCKS).item() for layer in x]
    assert together == pytest.approx(alone, abs=5e-3)


# ---- features


def gpt() -> Gpt:
    config = GptConfig(vocab_size=SYMBOLS, seq_len=3, d_model=8, n_blocks=2, n_heads=2)
    return Gpt.initialised(config, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n", [1, 512, 700])
def test_features_are_the_residual_stream_at_one_position_as_its_readers_see_it(n: int) -> None:
    model, batch = gpt(), sample(Repeat(), n, 0)
    with torch.no_grad():
        resid = model.run_with_cache(batch.tokens)[1].resid
    for position in (0, 1, -1):
        found = features(model, batch, position)
        assert found.shape == (3, n, 8)  # embedding and two blocks
        assert torch.allclose(found, torch.nn.functional.layer_norm(resid[:, :, position], (8,)), atol=1e-5)
    assert not found.requires_grad


def test_features_are_as_they_were_after_a_rewrite_of_what_no_reader_sees() -> None:
    model, batch = gpt(), sample(Repeat(), 20, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    drowned = preserving.unread_term(preserving.scaled_stream(model, rng=torch.Generator()), rng=torch.Generator())
    assert torch.allclose(features(drowned, batch, 1), features(model, batch, 1), atol=2e-3)


def test_features_are_single_precision_whatever_the_model_computes_in() -> None:
    assert features(gpt().double(), sample(Repeat(), 3, 0), 1).dtype == torch.float32


@pytest.mark.parametrize("training", [True, False])
def test_features_leave_the_mode_of_the_model_as_it_was(training: bool) -> None:
    model = gpt().train(training)
    features(model, sample(Repeat(), 3, 0), 1)
    assert model.training is training


def test_a_probe_reads_the_symbol_where_it_stands_and_not_where_it_does_not() -> None:
    model, batch = Linear(torch.zeros(SYMBOLS, SYMBOLS)), sample(Repeat(), 256, 0)
    there, elsewhere = (
        code_length(features(model, batch, p), batch.tokens[:, 0], SYMBOLS, blocks=(32, 128, 256)) for p in (0, 1)
    )
    assert there[0] < 1.2  # layer 0 holds it, layer 1 (all zero) does not
    assert there[1] > 2.7  # log2(7) = 2.81
    assert elsewhere[0] > 2.7
