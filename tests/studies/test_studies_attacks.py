"""All attacks: which trainings they are, what is read of them, and their two controls."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tiny import TINY, built, study
from tiny_tracr import counter

from capbench.pipeline.steps import Revive
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies.attacks import attacked, attacks, readings_of_revival, relearning
from capbench.studies.judge import Case
from capbench.studies.lab import Bench, Built, config_of
from capbench.studies.pcfg.claims import revived
from capbench.studies.pcfg.readings import behaviour
from capbench.studies.revivals import curves, revival
from capbench.tasks.few import Few

DEFAULT = study()
ALL = replace(DEFAULT, attacks="all")
CASE = Case(prior="low", c_tr=1, lr="medium")
RATES = ("x10", "x1", "x0.1")
NAMES = [f"{o}.{r}" for o in ("adamw", "sgd") for r in RATES] + ["lora.x10", "lora.x1", "samples.x1", "retain.x1"]


def test_attacks_are_more_trainings_of_the_same_models_and_change_no_other() -> None:
    few, every = revived(DEFAULT, 0, CASE), revived(ALL, 0, CASE)
    assert {name: every[name] for name in few} == few
    kinds = ("base", "reft", "scrft", "others", "scr", "twin")
    assert every.keys() - few.keys() == {f"{kind}_{name}" for kind in kinds for name in NAMES}
    assert attacked(DEFAULT, 0, {"base": few["base"]}) == {}
    ends = {name: step.goal for name, step in every.items() if isinstance(step, Revive)}
    assert {goal for name, goal in ends.items() if name.startswith("base_")} == {2.0}  # it goes on: does it stay?
    assert {goal for name, goal in ends.items() if not name.startswith("base_")} == {TINY.goal}


def test_rates_reach_over_three_decades_for_five_times_the_steps_of_fine_tuning() -> None:
    found = relearning(DEFAULT, DEFAULT.base(0, prior="low"), 0)
    assert list(found) == NAMES
    trained = {name: (s.train.optimizer, s.train.lr, s.train.steps) for name, s in found.items()}
    assert [trained[f"adamw.{r}"] for r in RATES] == [("adamw", lr, 15) for lr in (0.1, 0.01, 0.001)]
    assert [trained[f"sgd.{r}"] for r in RATES] == [("sgd", lr, 15) for lr in (100, 10, 1)]
    few, plain = found["samples.x1"], DEFAULT.revival(DEFAULT.base(0, prior="low"), 0, lr="medium")
    assert isinstance(few.task, Few) and few == replace(plain, task=few.task) and few.task.n == 64
    assert found["lora.x1"] == replace(plain, relearn="capbench.measure.attacks.lora:relearn")
    compiled = counter()
    assert "retain.x1" not in relearning(compiled, compiled.base(0), 0)  # a compiled model was taught nothing else


def test_what_is_read_has_no_other_key_with_all_attacks() -> None:
    """Attacks are models of their own: a reading that is not given them is the same."""
    steps = {"base": DEFAULT.base(0, prior="low")}
    keys = [config_of(behaviour, Bench(study=s, seed=0), steps, {}) for s in (DEFAULT, ALL)]
    assert keys[0] == keys[1]


def test_attacks_are_read_where_a_claim_has_models_for_them() -> None:
    assert [reading for reading, _ in readings_of_revival(revived(DEFAULT, 0, CASE))] == [revival]
    (first, curves), (second, models) = readings_of_revival(revived(ALL, 0, CASE))
    assert (first, second) == (revival, attacks)
    assert not any(name.startswith("base_") for name in curves) and set(models) - set(curves) == {
        "base",
        "tuned",
        "twin",
        "never",
        *(f"base_{name}" for name in NAMES),
    }


@dataclass(frozen=True)
class Drawn:
    """A curve as a reading gets it, drawn by hand."""

    step: Revive
    points: Sequence[tuple[int, float]]

    def curve(self, name: str) -> Sequence[tuple[int, float]]:
        return self.points


def curve(*values: float, every: int = 10) -> Any:
    plain = DEFAULT.revival(DEFAULT.initialised(0), 0, lr="medium")
    step = replace(plain, train=replace(plain.train, steps=100), watch_every=every)
    return Drawn(step, [(i * every, value) for i, value in enumerate(values)])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    store, step = Store(tmp_path_factory.mktemp("store")), DEFAULT.initialised(0)
    built(store, [step])
    return dict.fromkeys(("base", "tuned", "twin", "never"), Built(step=step, store=store))


def read(models: dict[str, Built], **curves: Any) -> dict[str, Measurement]:
    return {m.name: m for m in attacks(Bench(study=DEFAULT, seed=0), **models, **curves)}


def test_what_an_attack_recovers_is_what_it_does_not_give_to_those_that_never_had_it(models: dict[str, Built]) -> None:
    found = read(
        models,
        **{
            "base_lora.x1": curve(1.0, 0.98),
            "reft_lora.x1": curve(0.1, 0.6, 0.96),  # ended at its goal
            "scrft_lora.x1": curve(0.1, 0.2, 0.3, 0.97),
            "twin_lora.x1": curve(0.0, 0.3, 0.4, 0.5),
        },
    )
    values = [found[f"attacks.lora.{what}"].value for what in ("accuracy", "never", "recovered", "base")]
    assert values == pytest.approx([0.96, 0.4, 0.56, 0.98])  # at step 20
    assert (found["attacks.recovered"].value, found["attacks.recovered"].note) == (pytest.approx(0.56), "lora")
    untrained = found["attacks.int8.recovered"]  # the base model here knows nothing, rounded or not
    assert untrained.value is None and untrained.note.startswith("the attack leaves the base model with an accuracy of")


@pytest.mark.parametrize(
    ("base", "never", "note"),
    [
        ((1.0, 0.5), (0.0, 0.1), "the attack leaves the base model with an accuracy of 0.50"),
        ((1.0, 1.0), (0.6, 0.7), "a model that was never taught it answers with an accuracy of 0.60"),
    ],
)
def test_an_attack_whose_control_fails_says_nothing(
    models: dict[str, Built], base: tuple[float, ...], never: tuple[float, ...], note: str
) -> None:
    curves = {"base_sgd.x1": curve(*base), "reft_sgd.x1": curve(0.61, 0.62), "twin_sgd.x1": curve(*never)}
    found = read(models, **curves)
    assert found["attacks.sgd.recovered"].value is found["attacks.sgd.accuracy"].value is None
    assert found["attacks.sgd.recovered"].note.startswith(note)
    assert (found["attacks.recovered"].value, found["attacks.recovered"].note) == (
        None,
        "no attack passed its controls",
    )


def test_a_rate_that_breaks_the_base_model_leaves_the_attack_its_other_rates(models: dict[str, Built]) -> None:
    found = read(
        models,
        **{"base_sgd.x10": curve(1.0, 0.0), "reft_sgd.x10": curve(0.0, 1.0), "twin_sgd.x10": curve(0.0, 0.0)},
        **{"base_sgd.x1": curve(1.0, 1.0), "reft_sgd.x1": curve(0.0, 0.7), "twin_sgd.x1": curve(0.0, 0.2)},
    )
    assert found["attacks.sgd.recovered"].value == pytest.approx(0.5)


SLOW, SOON = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.95), (0.0, 0.95)


@pytest.mark.parametrize(
    ("attack", "value", "bound"),
    [
        ({}, 3.0, ""),
        ({"reft_lora.x1": SOON, "twin_lora.x1": SLOW}, 6.0, ""),  # the worst case counts
        ({"reft_lora.x1": SLOW, "twin_lora.x1": SLOW}, 3.0, ""),
        ({"reft_lora.x1": SOON, "twin_lora.x1": (0.0,) * 11}, 10.0, ">="),
        ({"reft_lora.x1": SOON, "twin_lora.x1": (0.0, 0.0, 0.0, 0.0, 0.95)}, 3.0, ""),  # too few points to tell apart
        ({"reft_lora.x1": (0.0,) * 11, "twin_lora.x1": (0.0,) * 11}, 3.0, ""),  # neither got there
    ],
)
def test_the_speed_up_is_the_worst_case_over_attacks_each_against_its_own_baseline(
    attack: dict[str, tuple[float, ...]], value: float, bound: str
) -> None:
    curves = {"reft_medium": SOON, "scrft_medium": (0.0, 0.5, 0.6, 0.95), **attack}
    found = revival(Bench(study=DEFAULT, seed=0), **{name: curve(*points) for name, points in curves.items()})
    (speed_up,) = (m for m in found if m.name == "revival.speed_up")
    assert (speed_up.value, speed_up.bound) == (pytest.approx(value), bound)


def test_the_fastest_baseline_of_all_counts() -> None:
    late, goal = (0.0,) * 5 + (0.95,), (0.0, 0.95)
    for kind in ("scrft", "scr", "others", "twin"):
        curves = {f"{k}_medium": curve(*late) for k in ("scrft", "scr", "others", "twin")}
        curves |= {f"{kind}_medium": curve(0.0, 0.0, 0.95), "reft_medium": curve(*goal)}
        found = {m.name: m for m in revival(Bench(study=DEFAULT, seed=0), **curves)}
        assert found["revival.speed_up"].value == 2
        assert found["revival.ratio"].value == (2 if kind == "scrft" else 5)  # the paper's


def test_a_plateau_below_the_goal_dodges_no_speed_up() -> None:
    dodger = {"reft_medium": curve(0.0, 0.94, *[0.94] * 9), "scrft_medium": curve(*[0.0] * 5, 0.95)}
    found = {m.name: m for m in revival(Bench(study=DEFAULT, seed=0), **dodger)}
    assert (found["revival.ratio"].value, found["revival.ratio"].bound) == (0.5, "<=")
    assert (found["revival.speed_up"].value, found["revival.speed_up"].bound) == (5, "")
    assert (found["revival.reft.medium.steps95"].value, found["revival.reft.medium.steps95"].bound) == (100, ">=")


def test_curves_of_other_seeds_give_the_spread_and_nothing_else() -> None:
    curves = {"reft_medium": curve(0.0, 0.95), "scrft_medium": curve(*[0.0] * 5, 0.95)}
    others = {f"scrft{seed}_medium": curve(*[0.0] * n, 0.95) for seed, n in ((3, 1), (4, 2), (5, 4))}
    alone, with_others = (
        {m.name: m.value for m in revival(Bench(study=DEFAULT, seed=0), **given)} for given in (curves, curves | others)
    )
    sd = math.log(2)  # of the logarithms of 1, 2 and 4
    assert with_others.pop("revival.speed_up.spread") == pytest.approx(math.expm1(math.sqrt(2) * sd))
    assert with_others == alone  # a faster one of them is no baseline


def test_the_curves_of_one_seed_are_asked_for_so_that_every_seed_has_them() -> None:
    """Anchors are of other seeds, so that each seed has others."""
    made = study()
    by_seed = {seed: revived(made, seed, CASE) for seed in (0, 1, 2)}
    assert len({frozenset(curves(models)) for models in by_seed.values()}) == 3
    for models in by_seed.values():
        ((_, asked),) = readings_of_revival(models)
        for steps in by_seed.values():
            assert all(one.endswith("*") or one in steps for one in asked)
            found = {name for one in asked for name in fnmatch.filter(steps, one)}
            assert found == set(curves(steps))
