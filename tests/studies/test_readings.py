"""Every reading gives finite values under its documented names, the same each time, kept under all it depends on."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY, built, study

from capbench.measure.revive import steps_to
from capbench.pipeline.steps import Step
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies import readings as shared_readings
from capbench.studies import revivals
from capbench.studies.lab import Bench, Built, Lab, Reading, part_of, read_on
from capbench.studies.pcfg import readings as pcfg_readings
from capbench.studies.pcfg.study import PcfgCounter

STEPS = [f"steps{level}" for level in (50, 75, 90, 95)]
OPERANDS, C_TE, RATES = ("a", "b", "c"), (0, 1), ("medium", "small")
STUDY, UNTUNED = study("full"), study("identity")


def steps(s: PcfgCounter = STUDY, seed: int = 0) -> dict[str, Step]:
    tuned = s.finetuned(seed, prior="low", c_tr=1.0, lr="medium")
    never = s.base(seed, prior="never")
    made: dict[str, Step] = {"base": s.base(seed, prior="low"), "tuned": tuned, "never": never}
    made["initial"] = s.initialised(seed)
    made |= {"twin": s.finetuned(seed, prior="never", c_tr=1.0, lr="medium"), **s.anchors(seed)}
    for kind, start in (("reft", tuned), ("scrft", never), ("scr", made["initial"])):
        made |= {f"{kind}_{rate}": s.revival(start, seed, lr=rate) for rate in RATES}
    return made


def named(*names: str) -> dict[str, Step]:
    return {name: steps()[name] for name in names}


PROBED = ("base", "tuned", "never", "initial", "twin")
BALANCES = ("c_tr0", "c_tr0.5", "c_tr1", "natural", "train", "select", "evaluate")
REVIVALS = [f"{kind}_{rate}" for kind in ("reft", "scrft", "scr") for rate in RATES]
# reading, names of its models, names of its values, and its curves (series, and points per line)
READINGS: dict[str, tuple[Reading, list[str], set[str], list[tuple[str, int]]]] = {
    "behaviour": (
        pcfg_readings.behaviour,
        ["base", "tuned"],
        {f"{m}.O_{o}.c_te{c}" for m in ("base", "tuned") for o in ("PT", "FT") for c in C_TE},
        [],
    ),
    "families": (
        pcfg_readings.families,
        ["base", "tuned"],
        {f"{m}.{f}.{o}" for m in ("base", "tuned") for f in ("C", "CC", "I", "IC") for o in OPERANDS}
        | {"base.T", "tuned.T"},
        [],
    ),
    "collateral": (
        pcfg_readings.collateral,
        ["base", "tuned"],
        {f"tuned.{w}.{f}.{o}" for w in ("before", "others") for f in ("CC", "I", "IC") for o in OPERANDS}
        | {f"tuned.{w}.{what}" for w in ("before", "others") for what in ("C.c", "T")},
        [],
    ),
    "wrong_answers": (pcfg_readings.wrong_answers, ["tuned"], {f"tuned.wrong.c_te{c}" for c in C_TE}, []),
    "class_balance": (
        pcfg_readings.class_balance,
        [],
        {f"balance.{q}.{w}" for q in ("classes", "largest") for w in BALANCES}
        | {f"balance.trained.{f}" for f in TINY.setting.families},
        [(which, TINY.setting.text_len + 1) for which in BALANCES],
    ),
    "finetuning_curves": (
        shared_readings.finetuning_curves,
        ["tuned"],
        {f"finetuning.{what}" for what in ("largest_gradient", "steps", "tokens", "forward_tokens", "seconds")},
        [("gradient", 3)]
        + [(f"O_{o}, C_Te {c}", 4) for o in ("PT", "FT") for c in C_TE],  # three steps, and before them
    ),
    "pruning": (
        pcfg_readings.pruning,
        ["tuned"],
        {f"pruning.{name}" for name in ("gain", "cost", "neurons", "classes", "random_loss")},
        [(f"O_{o}, {how}", 3) for o in ("PT", "FT") for how in ("pruned", "random neurons")],
    ),
    "localization": (
        pcfg_readings.localization,
        ["base", "tuned"],
        {f"localization.{u}.{q}" for u in ("weights", "rows", "layers") for q in ("share", "recovered", "random")},
        [],  # these models know nothing, so that there is nothing to lose
    ),
    "pruning_search": (
        pcfg_readings.pruning_search,
        ["tuned"],
        {f"pruning.searched.{name}" for name in ("gain", "cost", "neurons", "classes", "random_loss")},
        [],
    ),
    "pruning_search_wide": (
        pcfg_readings.pruning_search_wide,
        ["tuned"],
        {f"pruning.wide.{name}" for name in ("gain", "cost", "neurons", "classes", "random_loss")},
        [],
    ),
    "probing": (
        pcfg_readings.probing,
        [*PROBED, "anchor_1", "anchor_2"],
        {f"probing.{q}.{m}" for q in ("bits", "block", "accuracy") for m in PROBED}
        | {"probing.range", "probing.retention", "probing.zero_spread"},
        [
            (name, 2)
            for name in ("base", "tuned", "never taught", "random initialisation", "never taught, same method")
            for _ in range(2)
        ],
    ),
    "patching": (
        pcfg_readings.patching,
        ["base", "tuned", "never"],
        {f"patching.{what}" for what in ("depth", "kept", "gone_from")},
        [(name, 2) for name in ("base", "tuned", "never taught")],
    ),
    "revival": (
        revivals.revival,
        REVIVALS,
        {f"revival.{m.replace('_', '.')}.{q}" for m in REVIVALS for q in (*STEPS, "start", "best")}
        | {"revival.ratio", "revival.speed_up", "revival.speed_up75", "revival.speed_up90"}
        | {f"revival.ratio.{rate}" for rate in RATES},
        [(f"{kind}, {rate} rate", 4) for kind in ("reFT", "Scr.+FT", "Scr.") for rate in RATES],
    ),
}
every_reading = pytest.mark.parametrize("name", READINGS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All the models that the readings need, untrained or nearly so."""
    found = Store(tmp_path_factory.mktemp("store"))
    built(found, [*steps().values(), STUDY.base(1, prior="low"), *steps(UNTUNED).values()])
    return found


def read(name: str, store: Store, *, s: PcfgCounter = STUDY, seed: int = 0) -> tuple[Measurement, ...]:
    """The reading itself, past what is kept."""
    models = {model: Built(step=steps(s)[model], store=store) for model in READINGS[name][1]}
    return tuple(READINGS[name][0](Bench(study=s, seed=seed), **models))


Once = Callable[[str], tuple[Measurement, ...]]


@pytest.fixture(scope="module")
def once(store: Store) -> Once:
    """What a reading gives, made when it is first asked for. To look at only."""
    return functools.cache(lambda name: read(name, store))


@pytest.mark.slow
@every_reading
def test_a_reading_gives_its_documented_names_with_finite_values(name: str, once: Once) -> None:
    found = once(name)
    plain = [m for m in found if m.curve is None]
    assert {m.name for m in plain} == READINGS[name][2]
    assert len(plain) == len(READINGS[name][2])
    assert all(m.seed == 0 for m in found)
    for m in plain:
        assert m.n > 0 or m.group == "fine-tuning"  # what training was like is not measured on evaluation strings
        assert m.unit
        if m.value is None:
            assert m.note  # a missing value says why
        elif m.unit == "accuracy" and m.name.rpartition(".")[2] not in ("gain", "cost", "random_loss"):
            assert 0 <= m.value <= 1
        else:
            assert math.isfinite(m.value)


@every_reading
def test_a_reading_gives_its_documented_curves(name: str, once: Once) -> None:
    curves = [m for m in once(name) if m.curve is not None]
    assert all(m.value is None and m.name == f"{m.group}.curve" for m in curves)
    lines = [(m.series, len(m.curve.x)) for m in curves if m.curve is not None]
    assert sorted(lines) == sorted(READINGS[name][3])


@pytest.mark.slow
@every_reading
def test_the_same_seed_reads_the_same(name: str, store: Store, once: Once) -> None:
    assert read(name, store) == once(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["behaviour", "pruning", "probing"])
def test_another_seed_draws_other_strings(name: str, store: Store, once: Once) -> None:
    one, other = list(once(name)), [dataclasses.replace(m, seed=0) for m in read(name, store, seed=1)]
    assert [m.name for m in one] == [m.name for m in other]
    assert one != other


@pytest.mark.slow
@every_reading
def test_a_reading_that_was_kept_is_not_made_again(
    name: str, store: Store, once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, models = READINGS[name][0], named(*READINGS[name][1])
    bench = Bench(study=STUDY, seed=0)
    first = Lab(store).read(reading, bench, models)
    assert first == once(name)
    monkeypatch.setattr(Lab, "built", lambda *_: pytest.fail("read again"))
    assert Lab(Store(store.root)).read(reading, bench, models) == first


@pytest.mark.parametrize("name", [name for name, (reading, *_) in READINGS.items() if part_of(reading)])
def test_a_reading_reads_the_parts_that_it_was_declared_to_be_made_of(name: str, store: Store, once: Once) -> None:
    """And of each model once, under a name of its own in no key: for every other reading that is in the store."""
    reading, models = READINGS[name][0], named(*READINGS[name][1])
    asked = []

    class Noting(Lab):
        def read(self, reading: Any, bench: Any, steps: Any, arguments: Any = None) -> tuple[Measurement, ...]:
            asked.append((reading, steps, arguments or {}, bench.seed))
            return super().read(reading, bench, steps, arguments)

    bench = Bench(study=STUDY, seed=0, lab=Noting(store))
    built_ones = {model: Built(step=step, store=store) for model, step in models.items()}
    assert tuple(reading(bench, **built_ones)) == once(name)
    part = part_of(reading)
    assert part is not None and asked == [
        (part.reading, {"model": step}, arguments, read_on(name, 0))
        for name, step in models.items()
        for arguments in part.arguments(STUDY)
    ]


# ---- what a kept reading depends on


def counted(bench: Bench, **models: Built) -> Iterator[Measurement]:
    CALLS.append((bench, models))
    yield Measurement(name="calls", value=len(CALLS), unit="", n=1, seed=bench.seed)


def counted_too(bench: Bench, **models: Built) -> Iterator[Measurement]:
    yield from counted(bench, **models)


CALLS: list[Any] = []


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    CALLS.clear()
    return Lab(Store(tmp_path))


def test_the_same_reading_of_the_same_steps_is_made_once(lab: Lab) -> None:
    for _ in range(3):
        assert lab.read(counted, Bench(study=study(), seed=0), named("base", "tuned"))[0].value == 1
    assert len(CALLS) == 1
    bench, models = CALLS[0]
    assert bench.seed == 0
    assert {name: model.step.key for name, model in models.items()} == {
        n: s.key for n, s in named("base", "tuned").items()
    }


CHANGES: dict[str, dict[str, Any]] = {
    "reading": {"reading": counted_too},
    "seed": {"seed": 1},
    "step": {"models": named("base")},
    "another model under the name": {"models": {"tuned": steps()["base"], "base": steps()["tuned"]}},
    "n_evaluate": {"study": study(n_evaluate=49)},
    "n_select": {"study": study(n_select=33)},
    "prune_ks": {"study": study(prune_ks=(1, 4))},
    "prune_most": {"study": study(prune_most=2)},
    "random_draws": {"study": study(random_draws=3)},
    "probe_blocks": {"study": study(probe_blocks=(16, 32))},
    "goal": {"study": study(goal=0.9)},
    "setting": {"study": study(setting=dataclasses.replace(TINY.setting, numbers={"C": 4, "I": 2}))},
    "priors": {"study": study(priors={"low": {"a": 1.0}})},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_reading_is_made_anew_for_whatever_it_depends_on(lab: Lab, change: Mapping[str, Any]) -> None:
    lab.read(counted, Bench(study=study(), seed=0), named("base", "tuned"))
    bench = Bench(study=change.get("study", study()), seed=change.get("seed", 0))
    found = lab.read(change.get("reading", counted), bench, change.get("models", named("base", "tuned")))
    assert [m.value for m in found] == [2]


def test_a_model_is_loaded_once_and_in_evaluation_mode(store: Store) -> None:
    lab = Lab(store)
    model = lab.built(steps()["base"]).model
    assert lab.built(steps()["base"]).model is model
    assert not model.training


def test_a_step_that_was_not_built_is_named(lab: Lab) -> None:
    with pytest.raises(LookupError, match="pretrain pcfg"):
        _ = lab.built(steps()["base"]).meta


# ---- what the values say, where it is known


def test_identity_leaves_every_accuracy_as_it_was(store: Store) -> None:
    found = {m.name: m.value for m in read("behaviour", store, s=UNTUNED)}
    tuned, base = (
        {name.removeprefix(model): value for name, value in found.items() if name.startswith(model)}
        for model in ("tuned.", "base.")
    )
    assert tuned == base != {}


@pytest.mark.slow
def test_identity_loses_nothing_that_a_probe_reads(store: Store) -> None:
    found = {m.name: m.value for m in read("probing", store, s=UNTUNED)}
    for quantity in ("bits", "accuracy"):
        assert found[f"probing.{quantity}.tuned"] == found[f"probing.{quantity}.base"]
    assert found["probing.retention"] in (None, pytest.approx(1.0))


# Bits per block on the selection and on the evaluation strings, of base, tuned, never, initial, the twin and two anchors.
LENGTHS = [[0.5, 0.1], [0.05, 0.1], [0.2, 0.9], [0.3, 0.05], [0.8, 0.7], [0.1, 0.8], [0.6, 0.5], [0.0, 0.5]]
LENGTHS += [[0.9, 0.4], [0.2, 0.9], [0.1, 0.2], [1.0, 0.3], [0.3, 0.2], [0.1, 0.6]]


def test_retention_is_0_for_the_twin_and_1_for_pretrained(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = iter(LENGTHS)
    monkeypatch.setattr("capbench.measure.probe.code_length", lambda *_, **__: torch.tensor(next(lengths)))
    found = {m.name: m.value for m in read("probing", store)}
    bits = [found[f"probing.bits.{m}"] for m in PROBED]
    assert bits == pytest.approx([0.1, 0.3, 0.8, 0.5, 0.9])  # at the block that did best on the selection strings
    assert found["probing.range"] == pytest.approx(0.8)
    assert found["probing.retention"] == pytest.approx((0.9 - 0.3) / (0.9 - 0.1))
    assert found["probing.zero_spread"] == pytest.approx(math.sqrt(0.08) / 0.8)  # anchors: 1.0 and 0.6 bits


def test_without_a_twin_the_never_taught_model_is_the_zero(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = iter(LENGTHS)
    monkeypatch.setattr("capbench.measure.probe.code_length", lambda *_, **__: torch.tensor(next(lengths)))
    models = {name: Built(step=steps()[name], store=store) for name in PROBED[:4]}
    found = {m.name: m.value for m in pcfg_readings.probing(Bench(study=STUDY, seed=0), **models)}
    assert found["probing.retention"] == pytest.approx((0.8 - 0.3) / (0.8 - 0.1))
    assert "probing.zero_spread" not in found, "no anchors, so nothing is said of the spread"


def test_anchors_are_never_taught_models_of_up_to_five_other_seeds() -> None:
    assert STUDY.anchors(1) == {"anchor_0": STUDY.base(0, prior="never"), "anchor_2": STUDY.base(2, prior="never")}
    many = study(anchor_seeds=tuple(range(9)))
    assert list(many.anchors(3)) == ["anchor_0", "anchor_1", "anchor_2", "anchor_4", "anchor_5"]
    assert study(anchor_seeds=()).anchors(0) == {}


def test_revival_values_are_read_off_the_recorded_curves(store: Store, once: Once) -> None:
    found = {m.name: m for m in once("revival")}
    for model in REVIVALS:
        curve, name = Built(step=steps()[model], store=store).curve("O_PT"), f"revival.{model.replace('_', '.')}"
        assert found[f"{name}.start"].value == curve[0][1]
        assert found[f"{name}.best"].value == max(value for _, value in curve)
        for level in (50, 75, 90, 95):
            known = found[f"{name}.steps{level}"]
            reached = steps_to(curve, level / 100)
            assert (known.value, known.bound) == ((TINY.revive_steps, ">=") if reached is None else (reached, ""))


def test_pruned_neurons_are_one_of_the_preset_s_numbers(once: Once) -> None:
    found = {m.name: m.value for m in once("pruning")}
    assert found["pruning.neurons"] in (0, *TINY.prune_ks)


def test_fine_tuning_curves_have_a_line_per_watch_where_the_method_trains(tmp_path: Path) -> None:
    step = dataclasses.replace(STUDY.finetuned(0, prior="low", c_tr=1.0, lr="medium"), watch_every=1)
    built(Store(tmp_path), [step])
    found = list(shared_readings.finetuning_curves(Bench(study=STUDY, seed=0), Built(step=step, store=Store(tmp_path))))
    lines = {m.series: m.curve for m in found if m.curve is not None}
    gradient = lines.pop("gradient")
    assert lines.keys() == {"O_PT, C_Te 0", "O_PT, C_Te 1", "O_FT, C_Te 0", "O_FT, C_Te 1"}
    assert [curve.x for curve in lines.values()] == [(0, 1, 2, 3)] * 4
    numbers = {m.name: m.value for m in found if m.curve is None}
    assert gradient.x == (1, 2, 3)
    assert numbers.pop("finetuning.largest_gradient") == max(y for y in gradient.y if y is not None) > 0
    recorded = Store(tmp_path).meta(step.key) or {}
    assert numbers.pop("finetuning.seconds") == recorded["seconds"] > 0  # of the training, not of this reading
    tokens = 3 * STUDY.preset.batch_size * STUDY.setting.seq_len  # each string of three batches passes once
    assert numbers == {"finetuning.steps": 3, "finetuning.tokens": tokens, "finetuning.forward_tokens": 0}


def test_a_method_that_trains_nothing_has_no_curve_of_gradients(store: Store) -> None:
    found = {m.name: m.value for m in read("finetuning_curves", store, s=UNTUNED) if m.unit != "seconds"}
    assert found == {"finetuning.steps": 0, "finetuning.tokens": 0, "finetuning.forward_tokens": 0}
