"""The moderated t by hand, scales by kind, priors and where they come from, and how often claims err."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from capbench.results import Status
from capbench.verdicts.claims import at_least, at_most
from capbench.verdicts.effects import Effect, difference, ratio, worst
from capbench.verdicts.fitting import FEWEST, Condition, fit
from capbench.verdicts.links import LINKS, link_of
from capbench.verdicts.priors import ENDS, MIDDLE, Prior, find, kept
from capbench.verdicts.statistics import estimate

PRIOR = Prior(kind="bits/sample", scale="small", stratum=MIDDLE, df=4.0, variance=0.04, conditions=20)


def bits(*values: float, prior: Prior | None = PRIOR) -> Effect:
    return Effect(values, kind="bits/sample", priors={MIDDLE: prior} if prior else {})


# ---- the moderated t


def test_the_spread_is_shrunk_towards_the_prior() -> None:
    found = estimate(bits(0.9, 1.0, 1.1))
    assert found is not None
    # own variance .01 with 2 df, the prior's .04 with 4: (4 * .04 + 2 * .01) / 6 = .03
    assert (found.value, found.df) == (pytest.approx(1.0), 6.0)
    assert found.error == pytest.approx(math.sqrt(0.03 / 3))
    reach = float(t.isf(0.025, 6)) * 0.1
    assert found.interval() == pytest.approx((1 - reach, 1 + reach))
    assert found.how == "moderated t, 3 seeds, 6.0 df; prior of bits/samples between the ends, 4.0 df, 20 conditions"


def test_one_seed_has_the_interval_of_the_prior_and_is_provisional() -> None:
    reach = float(t.isf(0.025, 4)) * 0.2
    found = at_least(bits(1.0), 0.4, "length")
    assert found.ci == pytest.approx((1 - reach, 1 + reach))
    assert (found.status, found.provisional) == (Status.SUPPORTED, True)
    assert "1 seed: spread from the prior" in found.how
    assert found.reason == "provisional: one seed"
    assert at_least(bits(1.0), 0.5, "length").status is Status.INCONCLUSIVE


def test_a_spread_that_the_prior_does_not_have_counts_alone() -> None:
    found = estimate(bits(0.0, 2.0, 4.0))
    assert found is not None
    assert (found.df, found.error) == (2.0, pytest.approx(2 / math.sqrt(3)))
    assert "more spread than the prior" in found.how


def test_seeds_that_agree_are_not_taken_for_certain() -> None:
    found = estimate(bits(1.0, 1.0, 1.0))
    assert found is not None
    assert found.error == pytest.approx(math.sqrt(4 * 0.04 / 6 / 3))
    alone = estimate(bits(1.0, 1.0, 1.0, prior=None))
    assert alone is not None
    assert alone.interval() == (1.0, 1.0)


def test_an_accuracy_has_at_least_the_error_of_its_sample() -> None:
    prior = Prior(kind="accuracy", scale="small", stratum=MIDDLE, df=20.0, variance=1e-8, conditions=40)
    few, many = (estimate(Effect([0.5, 0.5], kind="accuracy", n=n, priors={MIDDLE: prior})) for n in (20, 20_000))
    assert few is not None
    assert many is not None
    low, high = few.interval()
    assert (high - low) / 2 == pytest.approx(float(t.isf(0.025, 21)) * math.sqrt(0.25 / 20 / 2), rel=0.1)
    assert many.interval()[1] - many.interval()[0] < (high - low) / 20
    assert "binomial error of 20 strings" in few.how


def test_ratios_are_averaged_as_logarithms() -> None:
    found = estimate(Effect([1.0, 4.0, 16.0], kind="ratio", priors={}))
    assert found is not None
    assert found.value == pytest.approx(4.0)
    low, high = found.interval()
    assert low * high == pytest.approx(16.0)
    # a ratio of 0 has no logarithm: then all are taken as they are, without a prior
    assert at_least(Effect([0.0, 2.0], kind="ratio", scale="small"), 1, "speed-up").effect == 1.0


def test_which_prior_counts_goes_by_whether_all_seeds_are_at_an_end() -> None:
    wide = Prior(kind="accuracy", scale="small", stratum=MIDDLE, df=4.0, variance=2.0, conditions=20)
    tight = Prior(kind="accuracy", scale="small", stratum=ENDS, df=1.0, variance=0.01, conditions=20)
    priors = {MIDDLE: wide, ENDS: tight}
    assert at_least(Effect([1.0, 0.99, 1.0], kind="accuracy", priors=priors), 0.9, "").status is Status.SUPPORTED
    assert at_least(Effect([1.0, 0.97, 1.0], kind="accuracy", priors=priors), 0.9, "").status is Status.INCONCLUSIVE


# ---- scales


@given(st.sampled_from(sorted(LINKS)), st.floats(0, 1))
def test_the_way_to_a_scale_and_back_ends_where_it_began(kind: str, value: float) -> None:
    link = link_of(kind, value)
    assert link.back(link.forward(value)) == pytest.approx(value, abs=1e-9)


@given(st.sampled_from(sorted(LINKS)), st.floats(0.001, 1), st.floats(0.001, 1))
def test_scales_keep_the_order(kind: str, a: float, b: float) -> None:
    link = link_of(kind, a, b)
    assert (a <= b) == (link.forward(a) <= link.forward(b))


def test_a_reader_is_told_of_values_that_count_as_less_than_they_are() -> None:
    told = at_least(Effect([1.25, 1.17, 0.9], kind="retention", scale="small"), 0.7, "probe retention")
    assert "values beyond 1.095 count as that" in told.how and told.effect is not None and told.effect < 1.095
    assert "count as" not in at_least(Effect([1.05, 1.0, 0.9], kind="retention", scale="small"), 0.7, "").how
    assert "count as" not in at_least(Effect([1.0, 0.9, 1.0], kind="accuracy", scale="small"), 0.7, "").how


def test_effects_keep_what_is_known_of_them() -> None:
    a, b = (Effect(v, kind="accuracy", scale="small", n=100) for v in ([0.5, 1.0], [0.25, 0.5]))
    found = difference(a, b)
    assert (found, found.kind, found.scale, found.n) == ([0.25, 0.5], "difference", "small", 100)
    assert (worst(a, b), worst(a, b).kind) == ([0.25, 0.5], "accuracy")
    assert (ratio(a, b), ratio(a, b).kind) == ([2.0, 2.0], "accuracy")


# ---- priors


def test_the_packages_priors_are_what_its_command_makes_of_the_reference_reports(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    kept_file = json.loads((root / "capbench" / "verdicts" / "priors.json").read_text(encoding="utf-8"))
    assert kept_file["command"].startswith("capbench priors reports/reference/")
    for (kind, scale, stratum), prior in kept().items():
        assert find(kind, scale, stratum) is prior
        assert prior.conditions >= FEWEST
        assert 1 <= prior.df <= 20
    assert find("accuracy", "no such scale") is None


def conditions(*spreads: float, kind: str = "bits/sample") -> list[Condition]:
    return [
        Condition(kind=kind, scale="small", name=f"model {i}", values=(1.0, 1.0 + s, 1.0 - s), n=0)
        for i, s in enumerate(spreads)
    ]


def test_a_prior_needs_enough_conditions() -> None:
    assert fit(conditions(*[0.1] * (FEWEST - 1))) == []
    (prior,) = fit(conditions(*[0.1] * FEWEST))
    assert (prior.kind, prior.scale, prior.stratum, prior.conditions) == ("bits/sample", "small", MIDDLE, FEWEST)


def test_a_prior_is_as_wide_as_the_spreads_and_trusts_them_less_where_they_differ() -> None:
    like, unlike = (fit(conditions(*s))[0] for s in ([0.1] * 30, [0.001, 0.01, 0.1, 1.0, 3.0] * 6))
    assert like.df > unlike.df
    assert 0.05 < math.sqrt(like.variance) < 0.2


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100))
def test_a_prior_grows_with_what_it_is_fitted_to(factor: float) -> None:
    (one,), (other,) = (fit(conditions(*[f * s for s in (0.1, 0.2, 0.3) * 4])) for f in (1.0, factor))
    assert other.variance == pytest.approx(one.variance * factor**2, rel=0.05)
    assert other.df == pytest.approx(one.df, rel=0.05)


def test_accuracies_at_an_end_have_a_prior_of_their_own_by_one_seed_at_a_time() -> None:
    found = [
        Condition(kind="accuracy", scale="small", name=f"m {i}", values=(1.0, 1.0, 0.5 if i < 3 else 1.0), n=500)
        for i in range(12)
    ]
    by_stratum = {prior.stratum: prior for prior in fit(found)}
    assert set(by_stratum) == {ENDS}  # three conditions speak of the middle: too few
    # In a quarter of the conditions the seed at the end has one beside it that is not: the interval must reach there.
    assert math.sqrt(by_stratum[ENDS].variance) > 0.05


def test_runs_of_one_seed_give_no_prior(capsys: pytest.CaptureFixture[str]) -> None:
    from capbench.cli.main import main

    root = Path(__file__).parents[2] / "reports" / "reference" / "methods" / "identity"
    assert main(["priors", str(root)]) == 2
    assert "was measured on two seeds" in capsys.readouterr().err


# ---- error rates


@pytest.fixture(scope="module")
def error_rates() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "error_rates.py"
    spec = importlib.util.spec_from_file_location("error_rates", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["error_rates"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_claims_at_the_threshold_are_rarely_supported(error_rates: Any) -> None:
    """The fast form of benchmarks/error_rates.py: a prior of 6 df, and variances drawn from it."""
    prior = Prior(kind="ratio", scale="small", stratum=MIDDLE, df=6.0, variance=0.1, conditions=40)
    half = error_rates.Left("ratio", {MIDDLE: prior}, (0.3,), prior)
    counts = error_rates.simulate([half], draws=250, variances="fitted", seed=0)
    total = {shape: [c for (_, s, _), c in counts.items() if s == shape] for shape in error_rates.SHAPES}
    for shape, allowed in (("normal", 0.035), ("log-normal", 0.035), ("two-peaked", 0.055)):
        found = total[shape]
        assert sum(c.supported for c in found) / sum(c.draws for c in found) <= allowed
        assert sum(c.held for c in found) / sum(c.draws for c in found) >= (0.90 if shape == "two-peaked" else 0.94)
    assert counts["ratio", "normal", "3"].found / 250 >= 0.8


def test_a_claim_and_its_opposite_are_never_both_supported() -> None:
    effect = bits(0.9, 1.0, 1.1)
    for threshold in (0.5, 0.9, 1.0, 1.1, 1.5):
        both = {at_least(effect, threshold, "").status, at_most(effect, threshold, "").status}
        assert both in ({Status.SUPPORTED, Status.REFUTED}, {Status.INCONCLUSIVE})
