"""What a run of the calibration's test half says of the tools: areas beside the thresholds, if it tested these."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from report_example import example

from capbench.errors import UsageError
from capbench.results import Measurement, Record, Results, Status
from capbench.session import calibrating
from capbench.session.options.given import Given
from capbench.studies.calibration import kept as module
from capbench.studies.calibration.kept import Kept, kept, read

VALUES = {"wrapped": (4.0, 5.0, 1.5), "deleted": (1.0, 0.5, 2.0)}  # one pair of nine is the wrong way round


def measurements() -> list[Measurement]:
    """Three wrapped and three deleted models, and what the tool `revival` read of them."""
    given: dict[str, Any] = {"unit": "", "n": 1}
    found = []
    for kind, values in VALUES.items():
        for seed, value in enumerate(values):
            found.append(Measurement(name=f"verdict.{kind}.full.counter", value=1.0, series=kind, seed=seed, **given))
            found.append(Measurement(name=f"value.revival.{kind}.full.counter", value=value, seed=seed, **given))
    return found


def run(first: int = kept().test, scale: str = "small") -> Results:
    results = example()
    about = {"claim": "calibration.verdict", "case": "", "protocol": {"first seed": first}}
    record = replace(results.records[0], measurements=tuple(measurements()), **about)  # type: ignore[arg-type]
    return replace(results, run=replace(results.run, scale=scale), records=(record, *results.records))


def test_areas_of_the_test_half_stand_beside_the_thresholds_and_change_no_hash() -> None:
    found = calibrating.tested_by(run(), kept())
    assert found.tested["trained"]["revival"]["small"] == round(8 / 9, 4)
    assert "compiled" not in found.tested or "revival" not in found.tested["compiled"]
    assert (found.hash, found.tools) == (kept().hash, kept().tools)
    assert read(found.text()) == found


def on_an_architecture(name: str, status: Status) -> Record:
    record = run().records[0]
    about = {"claim": calibrating.ON_ARCHITECTURES, "case": f"architecture={name}"}
    protocol = {"first seed": kept().test, "architecture": name}
    return replace(record, protocol=protocol, verdict=replace(record.verdict, status=status), **about)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [Status.SUPPORTED, Status.INCONCLUSIVE])
def test_an_architecture_whose_models_are_not_judged_wrongly_has_areas_of_its_own(status: Status) -> None:
    records = (on_an_architecture("lstm", status), on_an_architecture("gru", Status.REFUTED))
    before = replace(kept(), tested={**kept().tested, "gru": {"revival": {"small": 1.0}}})
    found = calibrating.tested_by(replace(run(), records=records), before)
    assert found.tested["lstm"]["revival"] == {"small": round(8 / 9, 4)}
    assert not found.tested["gru"]["revival"]  # what it had is withdrawn
    assert found.tested.get("trained") == before.tested.get("trained") and found.hash == before.hash


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (run(first=kept().test + 100), f"no claim calibration.verdict about the half from seed {kept().test}"),
        (example(), "no claim calibration.verdict"),
        (run(scale="smoke"), "the thresholds were set at scale small, not smoke"),
    ],
)
def test_a_run_of_something_else_is_one_line(results: Results, said: str) -> None:
    results = replace(results, run=replace(results.run, scale="smoke" if "smoke" in said else "small"))
    with pytest.raises(UsageError, match=said) as error:
        calibrating.tested_by(results, kept())
    assert "\n" not in str(error.value)


def test_thresholds_of_another_rule_were_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capbench.session.calibrating.rule_now", lambda: "0123")
    with pytest.raises(UsageError, match="the thresholds belong to another rule"):
        calibrating.tested_by(run(), kept())
    with pytest.raises(UsageError, match="no thresholds were set"):
        calibrating.tested_by(run(), Kept())


def test_the_kept_file_is_whole() -> None:
    assert module.rule_now() == kept().rule, "a change of the rule needs new thresholds and a fresh half"


def in_force() -> Any:
    """What `set_by` is given where the thresholds in force come out again."""
    return [
        SimpleNamespace(group=group, tool=SimpleNamespace(name=name), thresholds=thresholds)
        for group, of in kept().tools.items()
        for name, thresholds in of.items()
    ]


@pytest.mark.parametrize(
    ("rule", "seeds", "scale", "later"),
    [
        (module.rule_now(), kept().setting, "small", 0),  # the same again: they are tested already
        ("0123", kept().setting, "small", 100),  # others: what tested those before was looked at
        ("0123", (kept().test,), "small", 100),
        ("0123", (kept().test + 100,), "small", 200),
        ("0123", kept().setting, "smoke", 0),  # nobody looked at this half at another scale
    ],
)
def test_a_half_that_was_looked_at_tests_no_other_thresholds(
    rule: str, seeds: tuple[int, ...], scale: str, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capbench.session.calibrating.rule_now", lambda: rule)
    found = calibrating.set_by(in_force(), scale=scale, seeds=seeds, before=kept())
    assert found.test == kept().test + later
    assert (found.hash == kept().hash) is (rule == kept().rule)


def test_seeds_are_by_default_those_that_set_the_thresholds_in_force() -> None:
    assert Given("calibrate").checked()["seeds"] == kept().setting
