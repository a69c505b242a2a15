"""Results survive JSON unchanged, refuse what is no number by name, and other schemas by both versions."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_example import example, record, results, trial, tried

from capbench.results import (
    SCHEMA,
    Capability,
    CapabilityState,
    Collateral,
    CollateralState,
    Control,
    Curve,
    Evidence,
    FinetunedState,
    Grid,
    Measurement,
    Record,
    Relabelling,
    RelabellingState,
    Results,
    RunInfo,
    Status,
    Trial,
    Verdict,
    from_json,
    measurement_from_dict,
    record_from_dict,
    to_dict,
    to_json,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | numbers
text = st.text(max_size=6)
whole = st.integers(0, 10**6)
points = st.lists(st.tuples(numbers, maybe), max_size=4)


def tuples(values: st.SearchStrategy[Any], size: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=size).map(tuple)


def curve(pairs: list[tuple[float, float | None]], x_label: str, y_label: str) -> Curve:
    return Curve(x=tuple(p[0] for p in pairs), y=tuple(p[1] for p in pairs), x_label=x_label, y_label=y_label)


def grid(values: Sequence[Sequence[float]], label: str = "a", **changes: Any) -> Grid:
    fields = {"rows": (label,) * len(values), "columns": (label,) * len(values[0]), "row_label": "", "column_label": ""}
    return Grid(values=tuple(map(tuple, values)), **{**fields, **changes})


curves = st.builds(curve, points, text, text)
lines = st.integers(1, 3).flatmap(lambda size: st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=1))
grids = st.builds(grid, lines, text, row_label=text, column_label=text)
pictures = st.sampled_from([{}]) | st.builds(dict, curve=curves) | st.builds(dict, grid=grids)
bounds = st.sampled_from(["", ">=", "<="])
measurements = pictures.flatmap(lambda picture: st.builds(
    Measurement, name=text, value=maybe, unit=text, n=whole, seed=whole, group=text, series=text, note=text,
    **{key: st.just(value) for key, value in picture.items()},
))  # fmt: skip
measurements |= st.builds(Measurement, name=text, value=numbers, unit=text, n=whole, seed=whole, bound=bounds)
controls = st.builds(
    Control,
    name=text,
    value=maybe,
    expected=text,
    passed=st.booleans(),
    ci=st.none() | st.tuples(numbers, numbers),
    undecided=st.booleans(),
)
verdicts = st.builds(
    Verdict, status=st.sampled_from(Status), effect=maybe, ci=st.none() | st.tuples(numbers, numbers), threshold=maybe,
    direction=st.sampled_from([">=", "<="]), margin=maybe, n_seeds=whole, per_seed=tuples(maybe), what=text,
    reason=text,
)  # fmt: skip
protocols = st.dictionaries(text, st.none() | st.booleans() | whole | numbers | text, max_size=3)
plain_values = st.recursive(
    maybe | text, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2), max_leaves=4
)
trials = st.builds(
    Trial, id=text, words=text, variant=st.dictionaries(text, plain_values, max_size=2), status=st.sampled_from(Status),
    effect=maybe, margin=maybe, reason=text, shrunk_from=text, simplest=st.booleans(),
)  # fmt: skip
records = st.builds(
    Record, claim=text, case=text, statement=text, source=text, nodeid=text, model=text, task=text, method=text,
    protocol=protocols, verdict=verdicts, seeds=tuples(whole), controls=tuples(controls),
    measurements=tuples(measurements), artefacts=st.dictionaries(text, text, max_size=2), seconds=numbers,
    expected=text, trials=tuples(trials, 2),
)  # fmt: skip
by_seed = st.dictionaries(whole, maybe, max_size=2)
evidence = st.builds(Evidence, tool=text, value=maybe, unit=text, reading=text, rule=text, per_seed=by_seed) | st.builds(
    Evidence, tool=text, value=numbers, unit=text, reading=text, rule=text, bound=bounds,
    per_seed=st.just({3: 1.0}), bounds=st.dictionaries(st.just(3), bounds),
)  # fmt: skip
collateral = st.builds(Collateral, state=st.sampled_from(CollateralState), worst=text, value=maybe, per_seed=by_seed)
relabelling = st.builds(
    Relabelling, state=st.sampled_from(RelabellingState), value=numbers, twin=numbers, constant=numbers,
    per_seed=st.dictionaries(whole, numbers, max_size=2),
)  # fmt: skip
capabilities = st.builds(
    Capability, model=text, task=text, method=text, protocol=protocols, verdict=st.sampled_from(CapabilityState),
    finetuned=st.none() | st.sampled_from(FinetunedState), evidence=tuples(evidence), reason=text,
    per_seed=st.dictionaries(whole, st.sampled_from(CapabilityState), max_size=2), collateral=st.none() | collateral,
    relabelling=st.none() | relabelling,
)  # fmt: skip
runs = st.builds(
    RunInfo, run_id=text, capbench=text, git_commit=st.none() | text, python=text, torch=st.none() | text, device=text,
    threads=whole, scale=text, seeds=tuples(whole), methods=tuples(text), command=text, start=text, seconds=numbers,
)  # fmt: skip
all_results = st.builds(Results, run=runs, records=tuples(records, 2), capabilities=tuples(capabilities, 2))
slow = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


# ---- round trips


@slow
@given(all_results)
def test_results_survive_json(before: Results) -> None:
    assert from_json(to_json(before)) == before


def test_a_whole_run_survives_json() -> None:
    before = example()
    after = from_json(to_json(before))
    assert after == before
    assert type(after.records[0].verdict.status) is Status
    assert type(after.capabilities[0].verdict) is CapabilityState
    assert to_json(after) == to_json(before)


@slow
@given(records)
def test_a_record_survives_as_plain_values(before: Record) -> None:
    plain = to_dict(before)
    assert record_from_dict(plain) == before
    assert record_from_dict(json.loads(json.dumps(plain))) == before
    assert to_dict(before) == plain  # reading it did not change it


@slow
@given(measurements)
def test_a_measurement_survives_as_plain_values(before: Measurement) -> None:
    assert measurement_from_dict(json.loads(json.dumps(to_dict(before)))) == before


@pytest.mark.parametrize(
    ("value", "bound", "said"),
    [
        (None, ">=", "x: a bound needs a value, got bound '>=' and no value"),
        (1.0, ">", "x: bound '>' must be '>=', '<=' or ''"),
    ],
)
def test_a_bound_without_a_value_is_refused(value: float | None, bound: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        Measurement(name="x", value=value, unit="", n=0, seed=0, bound=bound)


def test_none_stays_none_and_zero_stays_zero() -> None:
    unmeasured = Measurement(name="steps", value=None, unit="steps", n=0, seed=0)
    zero = dataclasses.replace(unmeasured, value=0.0)
    first, second = from_json(to_json(results(record(measurements=(unmeasured, zero))))).records[0].measurements
    assert first.value is None
    assert second.value == 0.0
    assert second.value is not None


def test_the_interval_zero_to_zero_is_not_lost() -> None:
    verdict = dataclasses.replace(record().verdict, ci=(0.0, 0.0), per_seed=(0.0, None))
    assert from_json(to_json(results(record(verdict=verdict)))).records[0].verdict == verdict


def test_a_record_is_flat_and_carries_its_id_status_and_margin() -> None:
    plain = to_dict(record())
    assert plain["id"] == "wrapper.pruning[prior=low]"
    assert (plain["status"], plain["margin"], plain["ci"]) == ("supported", 0.1, [0.35, 0.45])
    assert type(plain["status"]) is str
    assert "verdict" not in plain


@pytest.mark.parametrize(
    ("case", "name"), [("prior=low,c_tr=1", "wrapper.pruning[prior=low,c_tr=1]"), ("", "wrapper.pruning")]
)
def test_the_id_is_claim_and_case(case: str, name: str) -> None:
    assert record(case=case).id == name


# ---- what is refused

Build = Callable[[float], object]


def measurement(value: float) -> Measurement:
    return Measurement(name="pruning.gain", value=value, unit="accuracy", n=512, seed=0)


def verdict(**changes: Any) -> Verdict:
    return dataclasses.replace(record().verdict, what="gain over random", **changes)


REFUSED: dict[str, tuple[Build, str]] = {
    "measurement": (measurement, "pruning.gain"),
    "curve x": (lambda v: curve([(v, 0.5)], "k", "accuracy"), "curve"),
    "curve y": (lambda v: curve([(0, 0.5), (1, v)], "k", "accuracy"), "curve"),
    "effect": (lambda v: verdict(effect=v), "gain over random"),
    "lower end": (lambda v: verdict(ci=(v, 1.0)), "gain over random"),
    "upper end": (lambda v: verdict(ci=(0.0, v)), "gain over random"),
    "threshold": (lambda v: verdict(threshold=v), "gain over random"),
    "margin": (lambda v: verdict(margin=v), "gain over random"),
    "per seed": (lambda v: verdict(per_seed=(0.5, None, v)), "gain over random"),
    "control": (lambda v: Control(name="random neurons", value=v, expected="<= 0.1", passed=True), "random neurons"),
    "effect on a variant": (lambda v: trial(effect=v), "variant 00000001"),
    "margin on a variant": (lambda v: trial(margin=v), "variant 00000001"),
    "evidence": (lambda v: Evidence(tool="probing", value=v, unit="", reading="present", rule=""), "probing"),
}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("build", "name"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_number_is_refused_where_it_arises(build: Build, name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number or None, got {bad!r}"):
        build(bad)
    build(0.5)


def test_a_value_without_a_name_is_refused_too() -> None:
    with pytest.raises(ValueError, match="a result must be a finite number"):
        dataclasses.replace(measurement(0.5), name="", value=math.nan)


@pytest.mark.parametrize("changes", [{"seconds": math.nan}, {"protocol": {"lr": math.inf}}])
def test_what_no_class_checks_is_refused_when_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="finite"):
        to_json(results(record(**changes)))


@pytest.mark.parametrize(("x", "y"), [((0.0, 1.0), (0.5,)), ((), (0.5,))])
def test_a_curve_needs_as_many_x_as_y(x: tuple[float, ...], y: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"equally many x and y values, got {len(x)} and {len(y)}"):
        Curve(x=x, y=y, x_label="", y_label="")


def test_a_grid_may_repeat_labels_and_is_read_back_as_tuples() -> None:
    before = Measurement(
        name="map",
        value=None,
        unit="",
        n=1,
        seed=0,
        grid=grid([[0, 1.5], [-2, 0]], rows=("$", "a"), columns=("a", "a")),
    )
    after = measurement_from_dict(json.loads(json.dumps(to_dict(before))))
    assert after == before
    assert hash(after.grid) == hash(before.grid)


@pytest.mark.parametrize(
    ("values", "labels", "why"),
    [
        ([[1.0]], {"rows": ()}, "needs rows and columns, got 0 and 1"),
        ([[1.0]], {"columns": ()}, "needs rows and columns, got 1 and 0"),
        ([[1.0], [2.0]], {"rows": ("a",)}, "a label per row, got 1 for 2 rows of values"),
        ([[1.0]], {"rows": ("a", "b")}, "a label per row, got 2 for 1 rows of values"),
        ([[1.0, 2.0], [3.0]], {"rows": ("a", "b")}, r"row 1 \('b'\) of a grid needs a value per column, got 1 for 2"),
        ([[1.0]], {"columns": ("a", "b")}, r"row 0 \('a'\) of a grid needs a value per column, got 1 for 2 columns"),
        ([[1.0, math.nan]], {}, r"row 0 \('a'\) of a grid must hold finite numbers, got nan in column 1"),
        ([[1.0], [-math.inf]], {}, r"row 1 \('a'\) of a grid must hold finite numbers, got -inf in column 0"),
        ([[None]], {}, "must hold finite numbers, got None in column 0"),
    ],
)
def test_a_grid_of_another_shape_or_without_numbers_is_refused(values: Any, labels: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        grid(values, **labels)


def test_a_measurement_is_a_number_or_a_curve_or_a_grid() -> None:
    plain, line, picture = measurement(0.5), curve([(0, 1)], "", ""), grid([[0.0]])
    assert plain.is_number
    assert not dataclasses.replace(plain, curve=line).is_number
    assert not dataclasses.replace(plain, grid=picture).is_number
    with pytest.raises(ValueError, match=r"pruning\.gain must have one of curve, grid and passage, not several"):
        dataclasses.replace(plain, curve=line, grid=picture)


def test_a_file_of_schema_1_is_read_and_written_as_the_present_one() -> None:
    raw = json.loads(to_json(example())) | {"schema": 1}
    for found in raw["records"]:
        found["measurements"] = [m for m in found["measurements"] if m["grid"] is None]
        for m in found["measurements"]:
            del m["grid"]
    after = from_json(json.dumps(raw))
    assert after.schema == SCHEMA
    numbers_and_curves = [[m for m in r.measurements if m.grid is None] for r in example().records]
    assert [list(r.measurements) for r in after.records] == numbers_and_curves
    assert from_json(to_json(after)) == after


def test_a_file_from_before_tasks_of_ones_own_is_read() -> None:
    raw = json.loads(to_json(results(tried()))) | {"schema": 4}
    del raw["run"]["task"]
    assert from_json(json.dumps(raw)) == results(tried())


def test_a_file_from_before_studies_is_read() -> None:
    before = example()
    raw = json.loads(to_json(before)) | {"schema": 5}
    for found in (*raw["records"], *raw["capabilities"]):
        del found["study"]
    for found in raw["capabilities"]:
        del found["uncalibrated"]
    assert from_json(json.dumps(raw)) == before and before.capabilities


def test_a_file_from_before_relabelling_is_read() -> None:
    before = example()
    raw = json.loads(to_json(before)) | {"schema": 8}
    for found in raw["capabilities"]:
        del found["relabelling"]
    plain = tuple(dataclasses.replace(c, relabelling=None) for c in before.capabilities)
    assert from_json(json.dumps(raw)) == dataclasses.replace(before, capabilities=plain)


def test_a_verdict_s_study_and_its_uncalibrated_tools_are_read_back() -> None:
    (first, *others) = example().capabilities
    told = dataclasses.replace(first, study="parity", uncalibrated=("reader", "revival"))
    before = dataclasses.replace(example(), capabilities=(told, *others))
    assert from_json(to_json(before)) == before


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_a_file_from_before_variants_is_read(schema: int) -> None:
    raw = json.loads(to_json(results(tried(), record(expected="refuted: deletes")))) | {"schema": schema}
    for found in raw["records"]:
        del found["trials"]
        if schema < 3:
            del found["expected"]
    after = from_json(json.dumps(raw))
    expected = "refuted: deletes" if schema == 3 else ""
    assert after.records == (dataclasses.replace(tried(), trials=()), record(expected=expected))
    assert json.loads(to_json(after))["schema"] == SCHEMA == 10


def test_trials_are_read_back_with_their_status_and_specification() -> None:
    before = tried()
    (after,) = from_json(to_json(results(before))).records
    assert after.trials == before.trials and len(after.trials) == 14
    assert type(after.trials[9].status) is Status
    assert after.trials[0].variant["task"]["grammar"] == {"s": [["a", 0.5]]}


def test_the_reference_results_are_read() -> None:
    file = Path(__file__).parents[1] / "reports" / "reference" / "small-full" / "results.json"
    found = from_json(file.read_text(encoding="utf-8"))
    assert len(found.records) >= 15
    assert any(m.curve for r in found.records for m in r.measurements)


@pytest.mark.parametrize("found", [0, SCHEMA + 1, str(SCHEMA), None])
def test_another_schema_is_refused_naming_both(found: object) -> None:
    raw = json.loads(to_json(example())) | {"schema": found}
    with pytest.raises(ValueError, match=f"schema {found!r}; this capbench reads schemas 1 to {SCHEMA}"):
        from_json(json.dumps(raw))


@pytest.mark.parametrize("file", ["{}", "[]", "3"])
def test_a_file_without_a_schema_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match=f"schema None; this capbench reads schemas 1 to {SCHEMA}"):
        from_json(file)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_does_not_have_are_refused_in_files(constant: str) -> None:
    with pytest.raises(ValueError, match=f"{constant} is not a result"):
        from_json(to_json(example()).replace('"seconds": 4987.4', f'"seconds": {constant}'))


@pytest.mark.parametrize("name", ["status", "verdict"])
def test_an_unknown_state_is_refused_with_its_value(name: str) -> None:
    raw = json.loads(to_json(example()))
    (raw["records"] if name == "status" else raw["capabilities"])[0][name] = "perhaps"
    with pytest.raises(ValueError, match="perhaps"):
        from_json(json.dumps(raw))
