"""Stacks where something fails: too little memory at any moment, warnings as errors, an interruption; and whose time it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from test_stacking import COUNTING, Broken, config, model, same
from torch.overrides import TorchFunctionMode

from capbench.pipeline.budget import counting
from capbench.training.loop import Fit, fit, observing
from capbench.training.stacking import share, stack
from capbench.training.stacking.share import Sharing, Stopwatch, stopwatch
from capbench.training.stacking.together import Run, fit_stacked, together

# ---- too little memory


@contextmanager
def full_at(which: int) -> Iterator[list[str]]:
    """The allocation with this number fails, once, as on a full GPU; the names of what was allocated."""
    made: list[str] = []
    real = {name: getattr(torch, name) for name in ("stack", "zeros_like")}

    def counted(name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            made.append(name)
            if len(made) == which + 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real[name](*args, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(torch, name, counted(name))
        yield made


@pytest.mark.slow
def test_wherever_the_memory_ends_nothing_is_half_done() -> None:
    """While a stack is made, while optimizers make their state (of some, but not of all), in a step: the same as one by one."""

    def runs(steps: int) -> list[Run]:
        return [Run(model=model(i, n_blocks=0), task=COUNTING, config=config(i, steps)) for i in range(3)]

    with full_at(-1) as made:
        fit_stacked(runs(1))
    expected = runs(2)
    results = [fit(run.model, run.task, run.config) for run in expected]
    tensors = len(list(expected[0].model.parameters()))
    assert len(made) > (2 + 2 * 3) * tensors  # two a tensor for the stack, and two for each optimizer's state
    for moment in [*range(0, len(made), len(made) // 5), len(made) - 1]:
        stacked = runs(2)
        with full_at(moment):
            found = fit_stacked(stacked)
        for a, b in zip(results, found, strict=True):
            assert b.steps == 2 and a.losses == pytest.approx(b.losses, abs=1e-4)
        for run, other in zip(expected, stacked, strict=True):
            for p, q in zip(run.model.parameters(), other.model.parameters(), strict=True):
                torch.testing.assert_close(p, q, atol=1e-3, rtol=1e-3)
                assert q.untyped_storage().nbytes() == p.untyped_storage().nbytes()  # it is its own


def test_what_is_too_large_is_halved_while_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Small(stack.Stack):
        """A GPU with room for two."""

        def __init__(self, trainings: Any) -> None:
            sizes.append(len(trainings))
            if len(trainings) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(trainings)

    monkeypatch.setattr("capbench.training.stacking.steps.Stack", Small)
    same(lambda: [Run(model=model(i), task=COUNTING, config=config(i, 3)) for i in range(4)])
    assert sizes == [4, 2, 2]


def test_making_an_optimizer_ready_counts_no_step() -> None:
    def run(i: int) -> dict[str, int]:
        with counting() as budget:
            fit(model(i), COUNTING, config(i, 2))
        return budget.as_json()

    expected = [run(i) for i in range(3)]
    with counting() as ours:
        assert together([lambda i=i: run(i) for i in range(3)]) == expected  # type: ignore[misc]
    assert ours.steps == 6


@pytest.mark.slow
def test_a_warning_that_is_an_error_costs_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = together(
            [
                lambda: fit(model(), Broken(), config(0, 20)),  # type: ignore[arg-type]
                *(lambda i=i: fit(model(i), COUNTING, config(i, 20)) for i in (1, 2)),
            ]
        )
    assert isinstance(found[0], RuntimeError)
    assert all(isinstance(one, Fit) and one.steps == 20 for one in found[1:])


# ---- an interruption

INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
import tiny
import torch
from capbench.configs import TrainConfig
from capbench.models.gpt import Gpt
from capbench.training.stacking.together import together
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training.loop import fit, observing

torch.set_num_threads(1)
setting = tiny.TINY.setting

CONFIG = TrainConfig(steps=10**6, batch_size=8, lr=1e-2, seed=0)

def run(i):
    own = Gpt.initialised(tiny.TINY.model(setting), torch.Generator().manual_seed(i))
    def loss(model, batch, task):  # one of its own: it trains alone
        return model(batch.tokens).square().mean()
    try:
        with observing(lambda step, _: print("training", flush=True) if step == 5 else False):
            fit(own, PcfgTask(setting=setting, prior={"a": 1.0}), CONFIG, loss=loss)
    finally:
        print("cleaned", i, flush=True)

together([lambda: run(0), lambda: run(1)])
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_training_that_goes_on_alone_at_once() -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parents[1] / "helpers")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "training\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert sorted(out.split()) == ["0", "1", "cleaned", "cleaned"] and err.strip().endswith("KeyboardInterrupt")


@pytest.mark.slow
def test_ctrl_c_ends_a_loop_of_a_function_s_own() -> None:
    cleaned: list[int] = []
    main = threading.main_thread().ident

    def own_loop() -> None:
        signal.pthread_kill(main or 0, signal.SIGINT)
        try:
            for _ in range(400):  # 20 s
                time.sleep(0.05)
        finally:
            cleaned.append(0)

    def waiting() -> None:
        try:
            fit(model(), COUNTING, config())
        finally:
            cleaned.append(1)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        together([waiting, own_loop])
    assert sorted(cleaned) == [0, 1] and time.monotonic() - began < 10


def test_one_that_trains_alone_is_watched_within_its_own_function() -> None:
    """Its observer, its count of costs, and what its observer raises."""

    def run(i: int) -> dict[str, int]:
        def observer(step: int, _: Any) -> bool:
            if i == 2 and step == 2:
                raise SystemExit(3)
            return step == i + 3

        with counting() as budget, observing(observer) as fits:
            fit(model(i), COUNTING, config(i, 9), loss=lambda m, b, t: m(b.tokens).square().mean())
        return {**budget.as_json(), "fits": len(fits)}

    found = together([lambda i=i: run(i) for i in range(3)])  # type: ignore[misc]
    assert found[:2] == [run(0), run(1)] and isinstance(found[2], SystemExit)
    assert [one["steps"] for one in found[:2] if isinstance(one, dict)] == [3, 4]


def test_what_a_function_sets_in_its_thread_holds_for_its_training() -> None:
    """As autocast: a training in a stack would not see it."""

    def run(i: int, cast: bool) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            return fit(model(i), COUNTING, config(i, 1)).losses[0]

    cast, plain = run(0, True), run(0, False)
    found = together([lambda: run(0, True), lambda: run(0, False), lambda: run(1, False)])
    assert cast != plain and found[0] == cast and found[1] == pytest.approx(plain, abs=1e-6)


class Linears(TorchFunctionMode):
    """Counts the linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += func is torch.nn.functional.linear
        return func(*args, **(kwargs or {}))


def test_modes_and_hooks_on_what_is_kept_hold_for_a_training_in_their_thread() -> None:
    def counted(i: int) -> int:
        with Linears() as linears:
            fit(model(i), COUNTING, config(i, 1))
        return linears.seen

    def kept(i: int) -> int:
        seen: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (seen.append(1), t)[1], lambda t: t):
            fit(model(i), COUNTING, config(i, 1))
        return len(seen)

    for run in (counted, kept):
        alone = run(0)
        assert alone > 0 and together([lambda run=run: run(0), lambda run=run: run(1)]) == [alone, alone]  # type: ignore[misc]


def test_a_lone_training_that_failed_holds_on_to_nothing_while_the_others_train() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def failing() -> None:
        def loss(model: Any, batch: Any, task: Any) -> torch.Tensor:
            large = torch.zeros(1000)
            held.append(weakref.ref(large))
            raise RuntimeError("no loss")

        with suppress(RuntimeError):
            fit(model(0), COUNTING, config(0, 1), loss=loss)

    def other() -> bool:
        fit(model(1), COUNTING, config(1, 1), loss=lambda m, b, t: m(b.tokens).square().mean())
        return held[0]() is None

    assert together([failing, other]) == [None, True]


# ---- whose time it was


class Hand:
    """A clock that is turned by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(share.time, "perf_counter", lambda: self.now)


def test_those_at_work_together_share_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hand, sharing = Hand(monkeypatch), Sharing()
    a, b = Stopwatch(sharing), Stopwatch(sharing)
    for at_work, seconds in (((a,), 2.0), ((a, b), 6.0), ((), 50.0), ((b,), 1.0)):
        sharing.at_work = at_work
        hand.now += seconds
    assert (a.spent, b.spent) == ((5.0, 8.0), (4.0, 7.0))
    alone = stopwatch()
    before = alone.spent
    hand.now += 3.0
    assert (before, alone.spent) == ((0.0, 0.0), (3.0, 3.0))


def test_each_function_bears_its_part_of_a_stack_and_all_that_it_does_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the stack takes 8 s; the first function ends after one step and works for 100 s more, the others do three."""
    hand = Hand(monkeypatch)

    class Slow(stack.Stack):
        def gradients(self, *args: Any) -> torch.Tensor:
            hand.now += 8.0
            return super().gradients(*args)

    monkeypatch.setattr("capbench.training.stacking.steps.Stack", Slow)

    def run(i: int) -> tuple[float, float]:
        watch = stopwatch()
        hand.now += 1.0
        fit(model(i), COUNTING, config(i, 3 if i else 1))
        hand.now += 1.0 if i else 100.0
        return watch.spent

    def lone() -> tuple[float, float]:
        watch = stopwatch()
        with observing(lambda *_: hand.__setattr__("now", hand.now + 5.0) or False):
            fit(model(d_model=32), COUNTING, config(steps=2))
        return watch.spent

    found = together([*(lambda i=i: run(i) for i in range(4)), lone])  # type: ignore[misc]
    assert found[0] == (1 + 8 / 4 + 100, 109)
    assert found[4] == (10, 10)
    for one in found[1:4]:  # the last of them may be alone in the last steps, but is not: they end together
        assert one == pytest.approx((1 + 8 / 4 + 2 * 8 / 3 + 1, 1 + 24 + 1))
