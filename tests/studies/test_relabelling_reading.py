"""The reading of relabelled answers, of trained and of compiled models, where what it gives is known."""

from __future__ import annotations

import pytest
from tiny import built, study
from tiny_tracr import counter

from capbench.pipeline.build import load_model
from capbench.pipeline.steps import Step
from capbench.store.store import Store
from capbench.studies.lab import Bench, Built, Lab
from capbench.studies.relabelling import relabelling
from capbench.verdicts.relabelling import ACCURACY, CONSTANT, TWIN

WHICH = ("", ".natural", ".c_te1")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def read(store: Store, s: object, tuned: Step, twin: Step) -> dict[str, float | None]:
    built(store, [tuned, twin])
    found = Lab(store).read(relabelling, Bench(study=s, seed=0), {"tuned": tuned, "twin": twin})  # type: ignore[arg-type]
    assert all((m.unit, m.group, m.seed) == ("accuracy", "relabelling", 0) and m.n > 0 for m in found)
    return {m.name: m.value for m in found}


def test_of_trained_models_it_gives_its_documented_names(store: Store) -> None:
    s = study("identity")
    tuned, twin = (s.finetuned(0, prior=prior, c_tr=1.0, lr="medium") for prior in ("low", "never"))
    found = read(store, s, tuned, twin)
    assert found.keys() == {f"{name}{which}" for name in (ACCURACY, TWIN, CONSTANT) for which in WHICH}
    assert all(value is not None and 0 <= value <= 1 for value in found.values())


def test_of_compiled_models_it_finds_what_is_there_and_where_the_task_gives_it_anyway(store: Store) -> None:
    s = counter("identity")
    found = read(store, s, s.base(0), s.never(0))
    assert found[ACCURACY] == found[f"{ACCURACY}.natural"] == 1.0  # the compiled count of 'a' itself
    twin, natural, constant = found[TWIN], found[f"{TWIN}.natural"], found[CONSTANT]
    assert twin is not None and natural is not None and constant is not None and max(twin, natural, constant) < 0.7
    assert found[f"{TWIN}.c_te1"] == 1.0  # there, the count of 'b' is that of 'a' and one more


def test_strings_of_choosing_and_of_scoring_are_apart(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    s, asked = counter("identity"), []
    model = load_model(s.base(0), store)
    evaluation = type(s).evaluation

    def noting(self: object, operand: object, **options: object) -> object:
        asked.append(options)
        return evaluation(self, operand, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(s), "evaluation", noting)
    assert model is not None
    list(relabelling(Bench(study=s, seed=0), Built(step=s.base(0), store=store), Built(step=s.never(0), store=store)))
    assert {(o["c_te"], o["split"]) for o in asked} == {(c, p) for c in (0, 1, None) for p in ("select", "evaluate")}
