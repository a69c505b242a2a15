"""The calibration's table: every making has its turn in each half, and every member is what it is by construction."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Distil, Pretrain, Step, Training
from capbench.studies.calibration import factory
from capbench.studies.calibration.kept import kept
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.member import Member
from capbench.studies.calibration.study import CalibrationStudy, needs
from capbench.studies.calibration.table import MAKINGS, neighbour, slots, turn
from capbench.studies.pcfg.preset import PRESETS as PCFG
from capbench.studies.tracr.preset import PRESETS as TRACR

HALVES = st.integers(0, 9).flatmap(lambda h: st.integers(0, 32).map(lambda g: 100 * h + 3 * g))  # first seeds
ANCHORS = r"/(anchor_|scrft\d)"  # of other seeds, and their revivals: the same for all
PER_SEED = {Kind.WRAPPED: 4, Kind.DELETED: 4, Kind.INTACT: 2, Kind.GRADED: 2, Kind.DESTROYED: 2}


def pool(**given: object) -> CalibrationStudy:
    return factory.setting_half(**{"scale": "small", "device": "cpu", "precision": "float32", **given})  # type: ignore[arg-type]


def test_the_two_halves_have_as_many_models_as_were_wanted() -> None:
    """24 wrapped, 24 deleted and 12 of each other kind, on seeds 100 to 102 and 200 to 202."""
    found = Counter(slot.making.kind for seed in (100, 101, 102, 200, 201, 202) for slot in slots(seed))
    assert found == {kind: 6 * n for kind, n in PER_SEED.items()}


@pytest.mark.slow
def test_the_base_models_of_both_halves_can_be_bundled() -> None:
    """Low prior, never taught and the other operands of six seeds, the high prior of one in each half; five anchors of others."""
    found = {step.key for step in factory.bases(scale="small", device="cpu", precision="float32")}
    needed = Plan([step for seed in kept().setting for step in needs(pool(), seed).values()])
    of_setting = {step.key for step in needed.steps.values() if isinstance(step, Pretrain)}
    assert len(found) == 6 * 3 + 2 + 5 and len(of_setting) == 3 * 3 + 1 + 5 and of_setting < found


@given(HALVES)
def test_every_making_has_one_turn_in_a_half_and_every_seed_as_many_of_each_kind(first: int) -> None:
    half = [slots(first + i) for i in range(3)]
    assert Counter(s.making.name for of in half for s in of) == Counter(m.name for of in MAKINGS.values() for m in of)
    for of_seed in half:
        assert Counter(slot.making.kind for slot in of_seed) == PER_SEED
        assert [slot.name for slot in of_seed] == [slot.name for slot in half[0]]
        for kind in Kind:  # both tasks on every seed
            assert {slot.task for slot in of_seed if slot.making.kind is kind} == {"counter", "indexer"}


@given(HALVES, st.integers(0, 2))
def test_in_the_next_hundred_a_making_has_the_other_task(first: int, i: int) -> None:
    here, there = ({s.making.name: s.task for s in slots(seed)} for seed in (first + i, first + i + 100))
    shared = here.keys() & there.keys()
    assert (first % 100 + i) % 3 != (first % 100 + i + 100) % 100 % 3 or shared == here.keys()
    assert all(here[name] != there[name] for name in shared)


@given(HALVES, st.integers(0, 2))
def test_anchors_are_of_another_seed_of_the_same_half(first: int, i: int) -> None:
    other = neighbour(first + i)
    assert other != first + i and first <= other <= first + 2
    assert {turn(first + k) for k in range(3)} == {0, 1, 2}


def test_at_most_so_many_of_each_kind() -> None:
    assert Counter(slot.making.kind for slot in slots(100, most=1)) == dict.fromkeys(Kind, 1)


def test_names_are_told_apart() -> None:
    names = [m.name for of in MAKINGS.values() for m in of]
    assert len(set(names)) == len(names) and not any("." in name for name in names)
    for seed in (100, 200):
        members = pool().members(seed)
        assert len({m.name for m in members}) == len({m.slot for m in members}) == len(members)


@pytest.mark.parametrize("seed", [100, 101, 102, 200])
def test_what_is_known_follows_from_how_a_member_was_made(seed: int) -> None:
    """Wrapped and intact models descend from the base that was taught O_PT; deleted ones from none, or saw only its answers."""
    for member in (m for m in pool().members(seed) if not m.compiled):
        base, tuned = member.models["base"], member.models["tuned"]
        if member.kind is Kind.DELETED:
            assert base.key not in {step.key for step in _ancestors(tuned, weights_only=True)}, member.name
        elif member.kind in (Kind.WRAPPED, Kind.INTACT):
            assert base.key in {step.key for step in _ancestors(tuned)}, member.name


def _ancestors(step: Step, *, weights_only: bool = False) -> list[Step]:
    """Itself included. weights_only: without the teachers of a model that was distilled, whose weights it never had."""
    found, waiting = [], [step]
    while waiting:
        here = waiting.pop()
        found.append(here)
        waiting += here.parents[:1] if weights_only and isinstance(here, Distil) else here.parents
    return found


def test_what_never_had_it_is_not_compared_with_itself() -> None:
    for seed in (100, 101, 102):
        for member in (m for m in pool().members(seed) if m.kind is Kind.DELETED and not m.compiled):
            anchors = {member.models[role].key for role in ("never", "twin", "others")}
            assert not anchors & {step.key for step in _ancestors(member.models["tuned"])}, member.name


def test_the_two_halves_share_no_model() -> None:
    setting, held_out = (
        {step.key for seed in seeds for role, step in needs(pool(), seed).items() if not re.search(ANCHORS, role)}
        for seeds in ((100, 101), (200, 201))
    )
    # The compiled programs, before noise, are the same for all seeds, and so are the never-taught models whose spread is read
    # (anchors); no model that is measured is.
    assert not setting & held_out


def test_the_suite_s_first_seed_is_that_of_the_test_half() -> None:
    study = factory.pool(scale="small", method=None, device="cpu", precision="float32")
    assert study.first == kept().test > max(kept().setting)
    half = pool().members(kept().test)
    assert [m.models["tuned"].key for m in study.members(0)] == [m.models["tuned"].key for m in half]


def test_tasks_sizes_and_budgets_are_those_of_the_suites() -> None:
    for scale in ("smoke", "small", "paper"):
        preset = pool(scale=scale).preset
        assert (preset.pcfg, preset.tracr) == (PCFG[scale](), TRACR[scale]())


@pytest.mark.slow
def test_precision_is_that_of_every_trained_model_and_of_no_compiled_one() -> None:
    """As `--precision` asks; it is part of a model's key, so that none is taken for the other."""
    steps = Plan(needs(pool(precision="bfloat16"), 100).values()).steps.values()
    trainings = [step for step in steps if isinstance(step, Training)]
    assert {(type(_ancestors(s)[-1]).__name__, s.train.precision) for s in trainings} == {
        ("Initialise", "bfloat16"),
        ("Compile", "float32"),
    }


def test_a_revival_is_learnt_on_other_strings_than_it_is_scored_on() -> None:
    curves = [
        (role, step)
        for m in pool().members(100)
        for role, step in m.models.items()
        if role.startswith(("reft", "scrft"))
    ]
    assert curves
    for _, step in curves:
        assert (step.task.split, step.watch.task.split) == ("train", "evaluate")  # type: ignore[attr-defined]


def test_some_of_each_of_the_tools_adversaries_are_in_every_half() -> None:
    fooled = {tool for of in MAKINGS.values() for m in of for tool in m.against}
    assert fooled == {"pruning", "revival"}


def test_rewrites_that_keep_the_function_are_on_both_sides() -> None:
    """Were they on wrapped models only, a tool that sees nothing but them would look good."""
    on_top = {kind: {m.rewritten for m in MAKINGS[kind]} for kind in (Kind.WRAPPED, Kind.DELETED)}
    assert on_top == {Kind.WRAPPED: {True}, Kind.DELETED: {True}}


def test_all_models_of_a_kind_are_named_alike_on_every_seed() -> None:
    """So that a claim may ask for them by name."""

    def roles(members: tuple[Member, ...]) -> list[str]:
        return sorted(itertools.chain.from_iterable(m.steps for m in members))

    assert roles(pool().members(100)) == roles(pool().members(101)) == roles(pool().members(202))
