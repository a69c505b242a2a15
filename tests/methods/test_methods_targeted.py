"""Fine-tuning only where the wrapper sits: the right rows and the right block are found, and nothing else trains."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hand_made import Wrapped
from tiny_methods import SHIFT, Shift, Table, changed, config, gpt

from capbench.errors import MethodError
from capbench.methods.finetuning.wrapper_adapter import where_it_goes, wrapper_adapter
from capbench.methods.finetuning.wrapper_rows import wrapper_rows
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, observing

BOTH = {"wrapper-rows": wrapper_rows, "wrapper-adapter": wrapper_adapter}


@pytest.fixture(scope="module")
def taught() -> Model:
    """Knows the token at position 1, and has two blocks."""
    model = gpt()
    fit(model, Shift(), config(steps=100, batch_size=32, lr=1e-2))
    return model


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("steps", "pilot", "first"), [(8, 0.25, 2), (10, 0.5, 5)])
def test_as_many_steps_as_full_fine_tuning_and_the_given_model_stays(
    name: str, steps: int, pilot: float, first: int, taught: Model
) -> None:
    before = copy.deepcopy(taught)
    with observing(lambda step, model: False) as fits:
        tuned = BOTH[name](taught, SHIFT, config(steps=steps), pilot=pilot)
    assert [fitted.steps for fitted in fits] == [first, steps - first]
    assert not changed(before, taught) and changed(taught, tuned)
    assert all(p.requires_grad for p in tuned.parameters()) and type(tuned) is type(taught)
    again = BOTH[name](taught, SHIFT, config(steps=steps), pilot=pilot)
    assert not changed(tuned, again)


def test_only_so_many_rows_train(taught: Model) -> None:
    tuned = wrapper_rows(taught, SHIFT, config(steps=8), neurons=3)
    before, after = taught.state_dict(), tuned.state_dict()
    rows = {name: int((before[name] != after[name]).flatten(1).any(1).sum()) for name in changed(taught, tuned)}
    assert sum(rows.values()) <= 3 and all(name.removesuffix(".weight") in taught.neurons() for name in rows)


def test_the_row_that_holds_the_answer_back_is_found() -> None:
    """On a model with a wrapper of one row, which a pilot of next to no rate leaves as it is."""
    from test_methods_surgery import HIDDEN, OPEN, rows_changed

    task = FineTuningTask(target=HIDDEN, retain=OPEN, forget=HIDDEN)
    base = Wrapped({3})
    tuned = wrapper_rows(base, task, config(steps=8, lr=1e-6, batch_size=16), neurons=1, lr_factor=1e4)
    assert rows_changed(base, tuned) == {("wrapper", 0)}


@pytest.mark.parametrize("number", [0, 1])
def test_the_block_in_which_the_answer_goes_is_found(number: int, taught: Model) -> None:
    lost: Any = copy.deepcopy(taught)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in lost.blocks[number].parameters():
            parameter.normal_(generator=rng)
    assert where_it_goes(taught, lost, SHIFT, config()) is taught.blocks[number]  # type: ignore[attr-defined]
    assert where_it_goes(taught, copy.deepcopy(taught), SHIFT, config()) is taught.blocks[-1]  # type: ignore[attr-defined]


def test_only_the_maps_of_one_block_train(taught: Model) -> None:
    blocks = {name.split(".")[1] for name in changed(taught, wrapper_adapter(taught, SHIFT, config(steps=8)))}
    assert len(blocks) == 1 and blocks <= {"0", "1"}


def places(name: str, taught: Model, **option: Any) -> set[tuple[str, int]]:
    """Which rows a method changed."""
    with observing(lambda step, model: False) as fits:
        tuned = BOTH[name](taught, SHIFT, config(steps=8), **option)
    assert [fitted.steps for fitted in fits] == [2, 6]
    before, after = taught.state_dict(), tuned.state_dict()
    hit = {n: (before[n] != after[n]).flatten(1).any(1).nonzero().flatten().tolist() for n in changed(taught, tuned)}
    return {(n, row) for n, rows in hit.items() for row in rows}


def test_elsewhere_are_as_many_rows_of_the_same_maps_and_none_of_those_that_were_found(taught: Model) -> None:
    there, elsewhere = (places("wrapper-rows", taught, neurons=3, by=by) for by in ("pruning", "elsewhere"))
    assert len(there) == len(elsewhere) == 3 and not there & elsewhere
    assert sorted(name for name, _ in there) == sorted(name for name, _ in elsewhere)
    assert places("wrapper-rows", taught, neurons=3, by="elsewhere") == elsewhere


def test_elsewhere_is_another_block(taught: Model) -> None:
    there, elsewhere = (
        {name.split(".")[1] for name, _ in places("wrapper-adapter", taught, by=by)} for by in ("patching", "elsewhere")
    )
    assert len(there) == len(elsewhere) == 1 and there != elsewhere


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("wrapper-rows", {"neurons": 0}, "neurons=0 must be a whole number, at least 1"),
        ("wrapper-rows", {"pilot": 1}, "pilot=1 must be a number above 0 and below 1"),
        ("wrapper-adapter", {"rank": 1.5}, "rank=1.5 must be a whole number, at least 1"),
        ("wrapper-adapter", {"lr_factor": 0}, "lr_factor=0 must be a number above 0"),
        ("wrapper-rows", {"by": "luck"}, "by='luck' must be pruning or elsewhere"),
        ("wrapper-adapter", {"by": 3}, "by=3 must be patching or elsewhere"),
    ],
)
def test_an_option_out_of_range_is_one_line(name: str, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(MethodError, match=f"{name}: {said}"):
        BOTH[name](gpt(), SHIFT, config(), **wrong)


def test_a_model_without_blocks_has_no_place_for_an_adapter() -> None:
    with pytest.raises(MethodError, match="wrapper-adapter needs a model with blocks; Table has none"):
        wrapper_adapter(Table([[0.0, 1.0], [1.0, 0.0]]), SHIFT, config())
