"""Readings of compiled models: their documented names, and values that are known since the programs are."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_tracr import TINY, counter, counter_steps, largest, max_steps

from capbench.models.edits import deleting, hiding, preserving
from capbench.pipeline.build import load_model
from capbench.pipeline.steps import Step
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies import readings as shared_readings
from capbench.studies import revivals
from capbench.studies.lab import Bench, Built, Lab, Reading
from capbench.studies.tracr import readings as tracr_readings
from capbench.studies.tracr.study import TracrStudy

COUNTER, MAX = counter(), largest()
MODELS = ("base", "tuned", "never")
KINDS = ("O_PT", "O_FT", "other", "BOS", "padding")
STEPS = [f"steps{level}" for level in (50, 75, 90, 95)]
REVIVED = ("reft", "scrft")
BLOCKS = (0, 1, 2)


def pruning(units: str) -> set[str]:
    return {f"pruning.{units}.{name}" for name in ("reached", "gain", "cost", "units", "classes")}


# reading, study, names of its models, names of its values, its pictures (group and number of maps)
Row = tuple[Reading, TracrStudy, tuple[str, ...], set[str], dict[str, int]]
READINGS: dict[str, Row] = {
    "behaviour": (
        tracr_readings.behaviour,
        COUNTER,
        MODELS,
        {f"{m}.{o}.c_te{c}" for m in MODELS for o in ("O_PT", "O_FT") for c in (0, 1)},
        {},
    ),
    "behaviour of max": (
        tracr_readings.behaviour,
        MAX,
        MODELS,
        {f"{m}.{o}.c_te{c}" for m in MODELS for o in ("O_PT", "O_FT") for c in (0, 1)},
        {},
    ),
    "attention": (
        tracr_readings.attention,
        COUNTER,
        MODELS,
        {f"attention.{m}.block{b}.{kind}" for m in MODELS for b in BLOCKS for kind in KINDS},
        {"attention": 2 * len(BLOCKS)},
    ),
    "circuit": (
        tracr_readings.circuit,
        COUNTER,
        MODELS,
        {f"circuit.{m}.{o}" for m in MODELS for o in ("O_PT", "O_FT")} | {"circuit.retention"},
        {"activations": 3},
    ),
    "sorting": (
        tracr_readings.sorting,
        MAX,
        MODELS,
        {f"sort.{m}.{what}" for m in MODELS for what in ("places", "distance")}
        | {f"readout.{m}.{o}" for m in MODELS for o in ("O_PT", "O_FT")},
        {"attention": 2 * len(BLOCKS)},
    ),
    "patching": (
        tracr_readings.patching,
        COUNTER,
        MODELS,
        {f"patching.{what}" for what in ("depth", "kept", "gone_from")},
        {},
    ),
    "weight_pruning": (tracr_readings.weight_pruning, COUNTER, ("tuned",), pruning("weights"), {}),
    "neuron_pruning": (tracr_readings.neuron_pruning, COUNTER, ("tuned",), pruning("neurons"), {}),
    "weight_search_control": (
        tracr_readings.weight_search_control,
        COUNTER,
        ("never",),
        {"pruning.weights.never"},
        {},
    ),
    "neuron_search_control": (
        tracr_readings.neuron_search_control,
        COUNTER,
        ("never",),
        {"pruning.neurons.never"},
        {},
    ),
    "revival": (
        revivals.revival,
        COUNTER,
        tuple(f"{kind}_small" for kind in REVIVED),
        {f"revival.{kind}.small.{q}" for kind in REVIVED for q in (*STEPS, "start", "best")}
        | {"revival.ratio", "revival.ratio.small", "revival.speed_up", "revival.speed_up75", "revival.speed_up90"},
        {},
    ),
    "finetuning_curves": (
        shared_readings.finetuning_curves,
        COUNTER,
        ("tuned",),
        {f"finetuning.{what}" for what in ("largest_gradient", "steps", "tokens", "forward_tokens", "seconds")},
        {},
    ),
}
CURVES = {
    "patching": ["base", "never taught", "tuned"],
    "weight_pruning": [f"{o}, {how}" for o in ("O_FT", "O_PT") for how in ("pruned", "random weights")],
    "neuron_pruning": [f"{o}, {how}" for o in ("O_FT", "O_PT") for how in ("pruned", "random neurons")],
    "revival": ["Scr.+FT, small rate", "reFT, small rate"],
    "finetuning_curves": [*(f"{o}, C_Te {c}" for o in ("O_FT", "O_PT") for c in (0, 1)), "gradient"],
}
DIFFERENCES = ("gain", "cost")
every_reading = pytest.mark.parametrize("name", READINGS)


def steps_of(study: TracrStudy, seed: int = 0) -> dict[str, Step]:
    return counter_steps(study, seed) if study is COUNTER else max_steps(study, seed)  # type: ignore[arg-type]


def needed(name: str) -> dict[str, Step]:
    return {model: steps_of(READINGS[name][1])[model] for model in READINGS[name][2]}


def read(name: str, store: Store, **instead: Any) -> tuple[Measurement, ...]:
    """The reading itself, past what is kept; `instead`: other models, as steps or as they are."""
    models: dict[str, Any] = {**needed(name), **instead}
    built = {
        n: Built(step=m, store=store) if isinstance(m, Step) else SimpleNamespace(model=m) for n, m in models.items()
    }
    return tuple(READINGS[name][0](Bench(study=READINGS[name][1], seed=0), **built))


def values(name: str, store: Store, **instead: Any) -> dict[str, float | None]:
    return {m.name: m.value for m in read(name, store, **instead) if m.is_number}


@pytest.mark.slow
@every_reading
def test_a_reading_gives_its_documented_names_with_finite_values(name: str, compiled: Store) -> None:
    found = read(name, compiled)
    plain = [m for m in found if m.curve is None and m.grid is None]
    assert sorted(m.name for m in plain) == sorted(READINGS[name][3])
    for m in plain:
        assert m.seed == 0 and m.unit and m.group
        assert m.n > 0 or m.group == "fine-tuning"  # what training was like is not measured on evaluation strings
        if m.value is None:
            assert m.note  # a missing value says why
        elif m.unit in ("accuracy", "probability") and m.name.rpartition(".")[2] not in DIFFERENCES:
            assert 0 <= m.value <= 1 + 1e-6
        else:
            assert math.isfinite(m.value)


@pytest.mark.slow
@every_reading
def test_a_reading_gives_its_curves_and_maps(name: str, compiled: Store) -> None:
    found = read(name, compiled)
    curves = [m for m in found if m.curve is not None]
    assert sorted(m.series for m in curves) == CURVES.get(name, [])
    maps = [m for m in found if m.grid is not None]
    assert {group: sum(m.group == group for m in maps) for group in {m.group for m in maps}} == READINGS[name][4]
    for m in maps:
        assert m.grid is not None and m.value is None and m.name == f"{m.group}.map"
        assert m.grid.columns[0] == "$" and set(m.grid.columns[1:]) <= set("abcdefghijklmnopqrstuvwxyz#")
        if m.group == "attention":
            assert m.grid.rows == m.grid.columns
            assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in m.grid.values)
    assert len({(m.group, m.series) for m in maps}) == len(maps)


@pytest.mark.slow
@every_reading
def test_a_reading_that_was_kept_is_the_same_and_not_made_again(
    name: str, compiled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(study=READINGS[name][1], seed=0)
    first = Lab(compiled).read(READINGS[name][0], bench, needed(name))
    assert first == read(name, compiled)
    monkeypatch.setattr(Lab, "built", lambda *_: pytest.fail("read again"))
    assert Lab(Store(compiled.root)).read(READINGS[name][0], bench, needed(name)) == first


@pytest.mark.parametrize(
    "changes", [{"n_evaluate": 99}, {"prune_ks": (1,)}, {"goal": 0.5}, {"noise": 0.5}, {"largest_count": 3}]
)
def test_a_reading_is_made_anew_for_another_preset(
    compiled: Store, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: dict[str, Step] = {"base": COUNTER.base(0)}
    calls: list[int] = []

    def counted(bench: Bench, base: Built) -> Iterator[Measurement]:
        calls.append(1)
        yield Measurement(name="one", value=1.0, unit="", n=1, seed=bench.seed)

    for study in (COUNTER, counter(**changes), COUNTER):
        Lab(compiled).read(counted, Bench(study=study, seed=sum(map(len, changes))), steps)
    assert len(calls) == 2


# ---- what the values are, where it is known


def test_compiled_models_do_what_they_were_compiled_for(compiled: Store) -> None:
    for name in ("behaviour", "behaviour of max"):
        found = values(name, compiled)
        for c_te in (0, 1):
            assert found[f"base.O_PT.c_te{c_te}"] == found[f"never.O_FT.c_te{c_te}"] == 1.0
            assert found[f"base.O_FT.c_te{c_te}"] == found[f"never.O_PT.c_te{c_te}"] == 0.0  # answers always differ


def test_an_untouched_model_behaves_as_before(compiled: Store) -> None:
    untouched = counter("identity").finetuned(0, c_tr=1.0, lr="medium")
    found = values("behaviour", compiled, tuned=untouched)
    assert all(found[name] == found[name.replace("base", "tuned")] for name in found if name.startswith("base"))


def test_the_answer_looks_at_what_is_counted(compiled: Store) -> None:
    found = values("attention", compiled)
    for model in MODELS:
        for block in BLOCKS:
            mass = {kind: found[f"attention.{model}.block{block}.{kind}"] or 0.0 for kind in KINDS}
            assert sum(mass.values()) == pytest.approx(1, abs=1e-5)
            if block == 1 and model != "tuned":
                counted, other = ("O_PT", "O_FT") if model == "base" else ("O_FT", "O_PT")
                assert mass[counted] > 0.5 and mass[counted] + mass["BOS"] == pytest.approx(1, abs=0.02)
                assert mass[other] < 0.01
    never = values("attention", compiled, base=COUNTER.never(0))
    assert never["attention.base.block1.O_PT"] == found["attention.never.block1.O_PT"]


def test_the_circuit_of_a_compiled_model_holds_its_own_count(compiled: Store) -> None:
    found = values("circuit", compiled)
    assert found["circuit.base.O_PT"] == found["circuit.never.O_FT"] == 1.0
    # What the other count tells of this one: 5 of 16 pairs of counts, at the longer strings.
    assert (found["circuit.never.O_PT"] or 1) < 0.5 and (found["circuit.base.O_FT"] or 1) < 0.5


def test_retention_is_1_for_the_compiled_model_and_0_for_the_one_compiled_for_the_new_task(compiled: Store) -> None:
    base, never = COUNTER.base(0), COUNTER.never(0)
    assert values("circuit", compiled, tuned=base)["circuit.retention"] == 1.0
    assert values("circuit", compiled, tuned=never)["circuit.retention"] == 0.0
    (no_range,) = (m for m in read("circuit", compiled, base=never) if m.name == "circuit.retention")
    assert no_range.value is None and "no more than" in no_range.note


def edited(store: Store, edit: Callable[..., Any], **arguments: Any) -> Any:
    """The compiled model after an edit."""
    return edit(load_model(COUNTER.base(0), store), rng=torch.Generator().manual_seed(1), **arguments)


def retention(store: Store, tuned: Any) -> float:
    return values("circuit", store, tuned=tuned)["circuit.retention"] or 0.0


def test_the_circuit_is_read_whatever_its_dimensions_stand_for(compiled: Store) -> None:
    """Another name for each count, a bias on one of them, and rewrites that keep the function hide nothing."""
    prompts = COUNTER.evaluation("a", c_te=None, split="train")
    moved: Any = copy.deepcopy(load_model(COUNTER.base(0), compiled))
    biased: Any = copy.deepcopy(moved)
    dims = [moved.residual_labels.index(f"count:{i}") for i in range(10)]
    with torch.no_grad():
        for part in (moved.blocks[1].mlp_out, moved.blocks[1].out):  # the rows that write these dimensions, one further
            part.weight[dims] = part.weight[dims].roll(1, 0)
            part.bias[dims] = part.bias[dims].roll(1, 0)
        biased.blocks[1].mlp_out.bias[dims[0]] = 50.0
    assert retention(compiled, moved) == retention(compiled, biased) == 1.0
    assert retention(compiled, edited(compiled, hiding.biased_unembedding, task=prompts)) == 1.0
    for rewrite in (preserving.rotated_residual_basis, preserving.composed):
        assert retention(compiled, edited(compiled, rewrite)) == pytest.approx(1.0, abs=0.02)


def test_the_circuit_is_not_read_where_it_was_emptied_or_drawn_anew(compiled: Store) -> None:
    for edit in (deleting.zeroed_blocks, deleting.redrawn_blocks):
        assert retention(compiled, edited(compiled, edit)) < 0.35, edit.__name__


def test_the_zero_of_the_circuit_is_the_twin_where_there_is_one(compiled: Store) -> None:
    base = COUNTER.base(0)
    assert values("circuit", compiled, tuned=COUNTER.never(0), twin=COUNTER.never(0))["circuit.retention"] == 0.0
    (none,) = (m for m in read("circuit", compiled, twin=base) if m.name == "circuit.retention")
    assert none.value is None and "no more than" in none.note  # the method taught the twin all of it


def test_the_compiled_sort_and_read_out_are_found(compiled: Store) -> None:
    found = values("sorting", compiled)
    for model in ("base", "never"):
        assert found[f"sort.{model}.places"] == 1.0  # both programs sort alike
        assert found[f"sort.{model}.distance"] == pytest.approx(0, abs=0.02)
    assert found["sort.base.distance"] == 0.0
    assert (found["readout.base.O_PT"] or 0) > 0.95 and (found["readout.never.O_FT"] or 0) > 0.95
    assert (found["readout.base.O_FT"] or 0) < 0.02 and (found["readout.never.O_PT"] or 0) < 0.02


def test_a_destroyed_sort_and_read_out_are_not_found(compiled: Store) -> None:
    broken: Any = copy.deepcopy(load_model(MAX.base(0), compiled))
    with torch.no_grad():
        for block in broken.blocks:
            block.query.weight.zero_()
            block.query.bias.zero_()  # attention is uniform
    found = values("sorting", compiled, tuned=broken)
    assert (found["sort.tuned.places"] or 0) < 0.5 and (found["sort.tuned.distance"] or 0) > 0.3
    assert found["readout.tuned.O_PT"] == pytest.approx(1 / 9) and found["sort.base.places"] == 1.0


# ---- pruning


def planted(store: Store) -> tuple[Any, tuple[str, int, int]]:
    """The compiled Counter with one weight more, which makes it answer 0 whatever it has counted."""
    model: Any = copy.deepcopy(load_model(COUNTER.base(0), store))
    last = len(model.blocks) - 1
    block = model.blocks[last]
    with torch.no_grad():
        (unit, *_) = (block.mlp_in.weight.abs().sum(1) < 0.1).nonzero().flatten().tolist()  # one that is not used
        block.mlp_in.weight[unit] = 0.0
        block.mlp_in.bias[unit] = 1.0  # now it always fires
        row = int(model.unembedding[0].argmax())  # where answer 0 is written
        block.mlp_out.weight[row, unit] = 50.0  # there are many as large among the compiled ones
    return model, (f"blocks.{last}.mlp_out", row, unit)


def test_a_planted_weight_is_found_by_its_place_and_gives_the_count_back(compiled: Store) -> None:
    model, place = planted(compiled)
    measured = {m.name: m for m in read("weight_pruning", compiled, tuned=model) if m.curve is None}
    assert measured["pruning.weights.units"].value == 1 and measured["pruning.weights.reached"].value == 1.0
    assert measured["pruning.weights.units"].note == ".".join(map(str, place))
    assert (measured["pruning.weights.gain"].value or 0) > 0.5
    assert (measured["pruning.weights.classes"].value or 0) >= 4


@pytest.mark.parametrize("units", ["weight", "neuron"])
def test_where_nothing_is_hidden_nothing_is_pruned(compiled: Store, units: str) -> None:
    untouched = counter("identity").finetuned(0, c_tr=1.0, lr="medium")
    measured = {m.name: m for m in read(f"{units}_pruning", compiled, tuned=untouched) if m.curve is None}
    assert {name.rpartition(".")[2]: m.value for name, m in measured.items()} == {
        "reached": 1.0,
        "gain": 0.0,
        "cost": 0.0,
        "units": 0,
        "classes": 5.0,
    }
    assert measured[f"pruning.{units}s.units"].note == ""


def test_the_control_of_the_search_is_what_it_reaches_without_the_capability(compiled: Store) -> None:
    found = values("weight_search_control", compiled)
    assert (found["pruning.weights.never"] or 0) < 0.6
    model, _ = planted(compiled)  # and what it says of a model that does hide something
    assert values("weight_search_control", compiled, never=model)["pruning.weights.never"] == 1.0
    assert values("weight_search_control", compiled, never=COUNTER.base(0))["pruning.weights.never"] == 1.0


def test_pruning_chooses_a_number_of_the_preset(compiled: Store) -> None:
    for units in ("weights", "neurons"):
        name = f"{units.removesuffix('s')}_pruning"
        measured = {m.name: m for m in read(name, compiled) if m.curve is None}
        chosen = measured[f"pruning.{units}.units"]
        assert chosen.value in (0, *TINY.prune_ks) and chosen.unit == units
        assert len(chosen.note.split(", ")) == chosen.value or chosen.value == 0


# ---- revival


def test_the_start_of_scr_ft_has_nothing_of_the_old_capability(compiled: Store) -> None:
    found = values("revival", compiled)
    assert found["revival.scrft.small.start"] == 0.0


def test_patching_of_a_compiled_model_has_the_base_and_the_never_taught_model_at_its_ends(compiled: Store) -> None:
    base, never = COUNTER.base(0), COUNTER.never(0)
    assert values("patching", compiled, tuned=base)["patching.depth"] == 0.0
    found = values("patching", compiled, tuned=never)
    assert found["patching.depth"] == 1.0 and found["patching.kept"] == 0.0
    assert found["patching.gone_from"] is not None
