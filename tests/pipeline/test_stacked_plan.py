"""Plans carried out with stacked trainings: the same models, and what goes wrong with one step is that step's alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune, Step
from capbench.store.store import Store
from capbench.training.stacking import stack


def wanted(method: str = "full") -> list[Step]:
    """Base models, fine-tunings and revivals of two seeds and two rates."""
    study = tiny.study(method)
    steps: list[Step] = []
    for seed in (0, 1):
        for lr in ("large", "small"):
            tuned = study.finetuned(seed, prior="low", c_tr=1.0, lr=lr)
            steps += [tuned, study.revival(tuned, seed, lr=lr)]
    return steps


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all stacks that are made."""
    sizes: list[int] = []

    class Counted(stack.Stack):
        def __init__(self, trainings: Any) -> None:
            sizes.append(len(trainings))
            super().__init__(trainings)

    monkeypatch.setattr("capbench.training.stacking.steps.Stack", Counted)
    return sizes


def test_the_models_are_those_made_one_by_one(tmp_path: Path, stacks: list[int]) -> None:
    plan, one, other = Plan(wanted()), Store(tmp_path / "one"), Store(tmp_path / "other")
    assert plan.run(one, jobs=1) == {} and stacks == []
    ticks: list[int] = []
    began = time.perf_counter()
    assert plan.run(other, jobs=1, stack=8, progress=ticks.append) == {}
    took = time.perf_counter() - began
    assert stacks == [2, 4, 4]  # base models, fine-tunings, revivals
    assert sum(ticks) == sum(one.meta(key)["steps"] for key, step in plan.steps.items() if step.cost)  # type: ignore[index]
    for key, step in plan.steps.items():
        a, b = one.load(key), other.load(key)
        assert a is not None and b is not None and a.tensors.keys() == b.tensors.keys()
        for name, tensor in a.tensors.items():
            torch.testing.assert_close(tensor, b.tensors[name], atol=1e-3, rtol=1e-3, msg=f"{step.label}: {name}")
        same = ("steps", "diverged", "budget")
        assert {n: a.meta[n] for n in same if n in a.meta} == {n: b.meta[n] for n in same if n in b.meta}
        assert {n: len(c) for n, c in a.meta.get("curves", {}).items()} == {
            n: len(c) for n, c in b.meta.get("curves", {}).items()
        }
        assert ("wall" in b.meta) == bool(step.cost) and "wall" not in a.meta
    assert sum((other.meta(key) or {})["seconds"] for key in plan.steps) < took


def test_a_step_that_fails_takes_none_along_but_those_that_need_it(tmp_path: Path, stacks: list[int]) -> None:
    (tmp_path / "mine.py").write_text(
        "from capbench.training.loop import fit\n"
        "def tune(model, task, config):\n"
        "    fit(model, task, config)\n"
        "    if config.lr > 0.015:\n"
        "        raise ValueError('too fast for me')\n"
        "    return model\n"
    )
    steps = wanted(f"{tmp_path / 'mine.py'}:tune")
    store = Store(tmp_path / "cache")
    errors = Plan(steps).run(store, jobs=1, stack=8)
    failed = [step for step in steps if step.key in errors]
    assert failed == [*steps[0:2], *steps[4:6]] and all("too fast for me" in why for why in errors.values())
    assert all(store.has(step.key) for step in steps if step not in failed)
    assert stacks == [2, 2]  # base models and revivals, in this process
    made = [step for step in steps if step not in failed and isinstance(step, FineTune)]
    assert len(made) == 2 and all(
        "wall" in (store.meta(step.key) or {}) for step in made
    )  # stacked too, in one of their own


def test_what_another_process_makes_is_left_to_it(tmp_path: Path) -> None:
    import threading

    store, plan = Store(tmp_path), Plan(wanted()[:1])
    (base,) = (step for step in plan.steps.values() if type(step).__name__ == "Pretrain")
    held, done = threading.Event(), threading.Event()

    def other() -> None:
        with store.lock(base.key):
            held.set()
            done.wait(20)
            tiny.built(store, [base])

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(20)
    threading.Timer(0.5, done.set).start()
    assert plan.run(store, jobs=1, stack=4) == {}
    thread.join()
    assert all(store.has(key) for key in plan.steps)


def test_the_time_is_over_for_all_of_them(tmp_path: Path) -> None:
    study = tiny.study(finetune_steps=100_000, watch_every=10_000)
    steps = [study.finetuned(seed, prior="low", c_tr=1.0, lr="small") for seed in (0, 1)]
    store, plan = Store(tmp_path), Plan(steps)
    assert Plan([step.base for step in steps]).run(store, jobs=1, stack=4) == {}
    began = time.monotonic()
    assert plan.run(store, jobs=1, stack=4, deadline=began + 1.0) == {}
    assert time.monotonic() - began < 15 and not any(store.has(step.key) for step in steps)
