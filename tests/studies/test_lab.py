"""The workplace of a run: which models it holds on to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import built, study

import capbench.studies.lab as lab
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies.lab import Bench, Built, Lab
from capbench.studies.pcfg.readings import behaviour

STUDY = study()
ONE, TWO = STUDY.initialised(0), STUDY.initialised(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    built(found := Store(tmp_path / "cache"), [ONE, TWO])
    return found


def both(bench: Bench[Any], one: Built, two: Built) -> Iterator[Measurement]:
    """Reads of one within a reading of two, which are all in use."""
    before = one.model, two.model
    inner = bench.read(behaviour, {"base": one})
    assert (one.model, two.model) == before and one.bytes == two.bytes > 0
    yield inner[0]


def test_models_that_do_not_fit_are_forgotten_unless_they_are_being_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, free = Lab(store), Lab(Store(store.root))
    size = (of.built(ONE).model, of.built(ONE).bytes)[1]
    monkeypatch.setattr(lab, "ROOM", size * 3 // 2)
    bench: Bench[Any] = Bench(study=STUDY, seed=0)
    first = of.read(behaviour, bench, {"base": ONE})
    assert of.built(ONE).bytes == size  # it fits
    of.read(behaviour, bench, {"base": TWO})
    assert (of.built(ONE).bytes, of.built(TWO).bytes) == (0, size)
    of.read(both, bench, {"one": ONE, "two": TWO})
    assert [of.built(step).bytes for step in (ONE, TWO)] == [0, size]
    assert free.read(behaviour, bench, {"base": ONE}) == first
