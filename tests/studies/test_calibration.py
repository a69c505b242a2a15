"""Calibration: areas and thresholds worked out by hand, a pool that is what it says, claims that a failed tool cannot decide."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import TINY, built
from tiny_tracr import TINY as TINY_TRACR

from capbench.models.base import Model
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step, Training
from capbench.report import load
from capbench.results import CapabilityState, Evidence
from capbench.store.store import Store
from capbench.studies.calibration import factory
from capbench.studies.calibration.preset import PRESETS, CalibrationPreset
from capbench.studies.calibration.readings import TOOLS, at_worst, auc, calibration, figures, pool, roc
from capbench.studies.calibration.study import DELETED, INTACT, WRAPPED, CalibrationStudy, Member
from capbench.studies.calibration.thresholds import thirds
from capbench.studies.lab import Bench, Lab
from capbench.studies.pcfg.tools import PROBING, REVIVAL
from capbench.studies.tracr import tools as tracr_tools
from capbench.verdicts.capability import objection
from capbench.verdicts.tools import Toolbox

ROOT = Path(__file__).parents[2]
THOROUGH = bool(os.environ.get("CAPBENCH_THOROUGH"))
numbers = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [
        ([3, 2], [1, 0], 1.0),
        ([1, 0], [3, 2], 0.0),
        ([1], [1], 0.5),
        ([3, 1], [2, 0], 0.75),  # of the four pairs one is the wrong way round
        ([2, 2], [2, 0], 0.75),  # two ties
        ([5], [1, 2, 3, 9], 0.75),
    ],
)
def test_the_area_under_the_curve_by_hand(positive: list[float], negative: list[float], area: float) -> None:
    assert auc(positive, negative) == area


def test_a_roc_curve_by_hand() -> None:
    # thresholds 3, 2, 1, 0; a positive is a wrapped model, a negative a deleted one
    assert roc([3, 1], [2, 0]) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


@given(numbers, numbers)
def test_the_roc_curve_encloses_the_area(positive: list[float], negative: list[float]) -> None:
    points = roc(positive, negative)
    assert points[0] == (0, 0) and points[-1] == (1, 1) and points == sorted(points)
    trapezoids = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    assert trapezoids == pytest.approx(auc(positive, negative))
    assert auc(positive, negative) + auc(negative, positive) == pytest.approx(1)


def test_thresholds_are_thirds_of_the_gap() -> None:
    assert thirds([1.0, 1.0, 1.0], [0.1, 0.1]) == pytest.approx((0.4, 0.7))


def test_one_stray_model_in_many_moves_the_thresholds_little() -> None:
    wrapped, deleted = [1.0] * 100, [0.0] * 99 + [0.9]
    assert thirds(wrapped, deleted) == pytest.approx((1 / 3, 2 / 3), abs=0.05)


def test_without_a_gap_the_best_cut_is_both() -> None:
    # 2 calls three of four wrapped and three of four deleted right; 1 all and one of four, 3 two of four and three of four
    assert thirds([1, 2, 3, 4], [0, 1, 1, 3]) == (2, 2)
    assert thirds([1, 1], [2, 2]) == (1, 1)  # all wrapped and no deleted ones; 2: none of either


# The pool


def small_pool(seed: int = 0) -> CalibrationStudy:
    return factory.pool(scale="small", method=None, device="cpu", precision="float32")


@pytest.mark.parametrize("seed", [0, 1, 2, 100])
def test_every_seed_has_enough_models_of_each_state(seed: int) -> None:
    members = small_pool().members(seed)
    states = Counter(member.state for member in members)
    assert all(states[state] >= 10 for state in (INTACT, WRAPPED, DELETED)), states
    assert len({member.name for member in members}) == len(members)
    assert (
        len({member.tuned.key for member in members if member.state is not INTACT})
        == sum(states.values()) - states[INTACT]
    )


def test_what_is_known_follows_from_how_it_was_made() -> None:
    """Wrapped and intact models descend from the base that was taught O_PT, deleted ones from none, or through re-drawing."""
    study = small_pool()
    for member in study.members(0):
        ancestors, waiting = set(), [member.tuned]
        while waiting:
            step = waiting.pop()
            ancestors.add(step.key)
            waiting += step.parents
        redrawn = any(word in member.name for word in ("redrawn", "zeroed"))
        if member.state is DELETED and not redrawn:
            assert member.base.key not in ancestors, member.name
        elif "g∘C" not in member.name:  # a program of its own, with the same circuit in it
            assert member.base.key in ancestors, member.name


def test_width_depth_and_task_vary() -> None:
    sizes = {
        (m.study.preset.d_model, m.study.preset.n_blocks)
        for s in (0, 1, 2)
        for m in small_pool().members(s)
        if "compiled" not in m.task
    }
    assert len(sizes) == 3
    assert {m.task for m in small_pool().members(0)} == {"counter", "indexer", "compiled counter"}


def test_the_two_halves_share_no_model() -> None:
    study = small_pool()
    setting, held_out = (
        {step.key for seed in seeds for step in pool(study, seed).values()} for seeds in ((100, 101), (0, 1, 2))
    )
    # The compiled programs, before noise, are the same for all seeds; no model that is measured is.
    assert not setting & held_out


def test_precision_is_that_of_every_trained_model_and_of_no_compiled_one() -> None:
    """As `--capbench-precision` asks; it is part of a model's key, so that none is taken for the other."""
    study = factory.pool(scale="small", method=None, device="cpu", precision="bfloat16")
    trainings = [step for step in Plan(pool(study, 0).values()).steps.values() if isinstance(step, Training)]
    found = {(_origin(step), step.train.precision) for step in trainings}
    assert found == {("Initialise", "bfloat16"), ("Compile", "float32")}


def _origin(step: Step) -> str:
    while step.parents:
        step = step.parents[0]
    return type(step).__name__


def test_a_revival_is_learnt_on_other_strings_than_it_is_scored_on_and_retaining_asks_nothing_of_the_family() -> None:
    for member in small_pool().members(0):
        for role, step in member.steps(0).items():
            if role.startswith(("reft", "scrft")):
                assert (step.task.split, step.watch.task.split) == ("train", "evaluate")  # type: ignore[attr-defined]
            if role.startswith("retained"):
                families = {part.family for part in step.task.parts}  # type: ignore[attr-defined]
                assert member.study.family not in families and families  # type: ignore[attr-defined]


class Part(CalibrationStudy):
    """With every other model, and LoRA's; all with CAPBENCH_THOROUGH=1."""

    def members(self, seed: int) -> tuple[Member, ...]:
        every = super().members(seed)
        return tuple(m for i, m in enumerate(every) if THOROUGH or i % 2 == 0 or "lora" in m.name)


def test_a_tiny_pool_is_read(compiled: Store) -> None:
    """The readings themselves, on models that cost nothing and know nothing: every name is there, counts add up."""
    preset = CalibrationPreset(name="tiny", pcfg=(replace(TINY, probe_blocks=(8, 16)),), tracr=TINY_TRACR)
    study = Part(preset=preset)
    store, steps = compiled, pool(study, 0)
    built(store, steps.values())
    lab, bench = Lab(store), Bench(study=study, seed=0)
    read = [*lab.read(calibration, bench, steps), *lab.read(figures, bench, steps)]
    numbers = {m.name: m.value for m in read if m.is_number}
    members = study.members(0)
    assert sum(numbers[f"known.{state}"] or 0 for state in (INTACT, WRAPPED, DELETED)) == len(members)
    (confusion,) = [m.grid for m in read if m.grid is not None]
    assert sum(map(sum, confusion.values)) == len(members)
    tools = {"pruning", "weight pruning", "pruning.any", "retain-only revival"}
    assert tools <= {m.series for m in read if m.name == "roc"}
    assert all(0 <= (numbers[f"auc.{tool}"] or 0) <= 1 for tool in tools)
    assert numbers["auc.revival"] is None  # neither side ever gets there: censored, so there is nothing to rank
    lora = next(m for m in members if "lora" in m.name)
    changed = _moved(load_model(lora.base, store), load_model(lora.tuned, store))
    assert changed and all(name.startswith("blocks.") for name in changed)


def _moved(before: Model, after: Model) -> set[str]:
    old = before.state_dict()
    return {name for name, value in after.state_dict().items() if not bool((value == old[name]).all())}


# What is only known by a bound


@pytest.mark.parametrize(
    ("state", "bound", "counts_as"),
    [
        (WRAPPED, ">=", 3.0),
        (DELETED, "<=", 3.0),
        (DELETED, ">=", math.inf),  # it may be as high as any
        (WRAPPED, "<=", -math.inf),
        (WRAPPED, "", 3.0),
    ],
)
def test_a_bound_never_makes_a_tool_look_better_than_it_may_be(
    state: CapabilityState, bound: str, counts_as: float
) -> None:
    member = next(m for m in CalibrationStudy(preset=PRESETS["small"]()).members(0) if m.state is state)
    found = Evidence(tool="revival", value=3.0, unit="ratio", reading="unclear", rule="", bound=bound)
    assert at_worst(member, found) == counts_as


# A tool that failed


def test_a_claim_on_a_tool_that_failed_its_calibration_is_objected_to() -> None:
    failed = Toolbox(tools=(REVIVAL, replace(PROBING, auc={"small": 0.9})))
    why = objection(failed, "small", ["tuned.O_PT.c_te0", "probing.retention"])
    failed_at = (
        "probing failed its calibration at scale small: it tells wrapped from deleted models with an AUC of 0.90"
    )
    assert why == f"{failed_at}, 0.95 is needed"
    assert objection(failed, "small", ["tuned.O_PT.c_te0", "revival.ratio.medium"]) == ""
    assert objection(tracr_tools.TOOLBOX, "small", ["probing.retention"]) == "", "no tool of compiled models"
    assert objection(failed, "paper", ["probing.retention"]) == "", "not calibrated there is no failure"


def test_what_is_said_of_the_tools_is_what_the_kept_run_found() -> None:
    """The AUCs that claims are objected to by are those of reports/reference/calibration, on models that set no threshold."""
    found = {r.case: r.verdict for r in load(ROOT / "reports" / "reference" / "calibration").records if r.case}
    calibrated = {tool.name: tool.auc["small"] for tool in TOOLS if tool.auc}
    assert calibrated == {
        case.removeprefix("tool=").replace("-", " "): pytest.approx(verdict.effect, abs=0.005)
        for case, verdict in found.items()
    }
    assert {v.per_seed and len(v.per_seed) for v in found.values()} == {3}
