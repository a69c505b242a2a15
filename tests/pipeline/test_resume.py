"""Trainings that are interrupted go on from their last snapshot, with the same bits as those that nobody interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from recall import Recall
from tiny_study import BASE, START, TRAIN, revived, tuned
from tiny_training import config
from tiny_training import tiny as tiny_model

from capbench.methods.specs.registry import MethodRef, find
from capbench.pipeline import snapshots
from capbench.pipeline.plan import Plan
from capbench.pipeline.snapshots import Snapshots, SnapshotWarning, steps_kept
from capbench.pipeline.steps import Pretrain, Step
from capbench.session.making import make
from capbench.session.options.at_once import AtOnce
from capbench.store.store import Store
from capbench.training.loop import batches, fit, keeping, next_token_loss

STEPS = 40
LONG = replace(TRAIN, steps=STEPS)
METHODS = """
import copy, torch
from dataclasses import replace
from capbench.training.loop import fit, next_token_loss
def twice(model, task, config):
    tuned = copy.deepcopy(model)
    fit(tuned, task, replace(config, steps=config.steps // 2, seed=5))
    fit(tuned, task, replace(config, steps=config.steps // 2, optimizer="sgd"))
    return tuned
def drawing(model, task, config):
    rng = torch.Generator().manual_seed(config.seed)
    tuned = copy.deepcopy(model)
    def noisy(model, batch, task):
        return next_token_loss(model, batch, task) * (1 + torch.rand((), generator=rng))
    fit(tuned, task, config, loss=noisy)
    return tuned
def weighted(model, task, config):
    tuned = copy.deepcopy(model)
    fit(tuned, task, config, loss=lambda m, b, t: 2 * next_token_loss(m, b, t), resumable=True)
    return tuned
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the pipeline: threads that wait for each other take longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Stopped(BaseException):
    """As a kill would: nothing of the training hears of it."""


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("methods") / "mine.py"
    file.write_text(METHODS)
    return file


def long(kind: str, methods: Path) -> Step:
    """A step with 40 steps of training, watched every few of them."""
    if kind == "pretrain":
        return replace(BASE, train=LONG, watch_every=3)
    if kind == "revive":
        return replace(revived(START), train=LONG, watch_every=3)
    method = find(kind if kind == "full" else f"{methods}:{kind}")
    return replace(tuned(method, START), train=LONG, watch_every=3)


def run(store: Store, step: Step, stop_after: int | None = None) -> int:
    """Make the step, or be stopped when so many training steps are done; how many were.

    A user's method is called in this process, too, so that it stops at exactly that step.
    """
    done = 0

    def count(steps: int) -> None:
        nonlocal done
        done += steps
        if stop_after is not None and done > stop_after:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MethodRef, "is_the_users", False)
        try:
            assert Plan([step]).run(store, jobs=1, progress=count) == {}
        except Stopped:
            assert not store.has(step.key)
    return done


def everything(store: Store, step: Step) -> tuple[dict[str, bytes], dict[str, Any]]:
    """A step's weights as bytes, and all that is recorded, but for the time."""
    artefact = store.load(step.key)
    assert artefact is not None
    weights = {name: tensor.contiguous().numpy().tobytes() for name, tensor in artefact.tensors.items()}
    return weights, {**artefact.meta, "seconds": None}


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Snapshots every so many training steps, whatever the time."""

    def set_(steps: int) -> None:
        asked = 0

        def due(self: Snapshots) -> bool:
            nonlocal asked
            asked += 1
            return asked % steps == 0 and bool(self._start)

        monkeypatch.setattr(Snapshots, "due", due)

    return set_


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, methods: Path) -> Callable[[str], Any]:
    """What each step is if nobody interrupts it."""
    store = Store(tmp_path_factory.mktemp("uninterrupted"))

    def made(kind: str) -> Any:
        step = long(kind, methods)
        run(store, step)
        return everything(store, step)

    return made


# ---- the same bits


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "revive", "full", "twice", "weighted"])
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # it trains: shrinking would take minutes
)
@given(stops=st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=2), apart=st.integers(2, 9))
def test_an_interrupted_training_is_the_one_that_nobody_interrupted(
    kind: str,
    stops: list[int],
    apart: int,
    every: Callable[[int], None],
    methods: Path,
    uninterrupted: Callable[[str], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Weights, curves, losses, gradient norms and the counts of the cost; wherever it stops, and if it stops twice."""
    every(apart)
    store, step = Store(tmp_path_factory.mktemp("store")), long(kind, methods)
    done = [run(store, step, stop_after=stop) for stop in stops]
    finished, kept = store.has(step.key), steps_kept(store.root, step.key)  # the second run may have come to the end
    done.append(run(store, step))
    assert everything(store, step) == uninterrupted(kind)
    assert done[-1] == (0 if finished else STEPS - kept)
    trainings = 2 if kind == "twice" else 1
    assert sum(done) <= STEPS + len(stops) * apart * trainings  # at most what was done since the last snapshots
    assert not (store.root / "partial" / step.key).exists()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_optimizers_go_on_with_what_they_remember(tmp_path: Path, optimizer: Any, momentum: float) -> None:
    train = config(steps=23, optimizer=optimizer, momentum=momentum)
    whole, begun, resumed = tiny_model(), tiny_model(), tiny_model()
    expected = fit(whole, Recall(), train)
    first, again = Snapshots(tmp_path, "ab"), Snapshots(tmp_path, "ab")

    class Half:
        """Keeps the state after step 17, in the second draw of data."""

        def begin(self, model: Any, config: Any, *, resumable: bool) -> Any:
            return first.begin(model, config, resumable=resumable)

        def due(self) -> bool:
            self.steps = getattr(self, "steps", 0) + 1
            return self.steps == 17

        keep = staticmethod(first.keep)

    with keeping(Half()):
        fit(begun, Recall(), train)
    with keeping(again):
        found = fit(resumed, Recall(), train)
    assert steps_kept(tmp_path, "ab") == 17
    assert found == expected
    for left, right in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("start", [0, 1, 15, 16, 17, 39])
def test_data_from_a_later_step_are_those_of_that_step(start: int) -> None:
    drawn: list[int] = []

    class Watched(Recall):
        def sample(self, n: int, rng: torch.Generator) -> Any:
            drawn.append(n)
            return super().sample(n, rng)

    train = config(steps=40)
    whole, later = list(batches(Recall(), train)), list(batches(Watched(), train, start=start))
    assert len(drawn) == 3 - start // 16  # and what lies before is not drawn
    assert len(later) == len(whole) - start
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(later, whole[start:], strict=True))


# ---- what is not kept


def test_a_loss_with_a_state_of_its_own_begins_anew(
    every: Callable[[int], None], methods: Path, tmp_path: Path, uninterrupted: Callable[[str], Any]
) -> None:
    every(1)
    store, step = Store(tmp_path), long("drawing", methods)
    run(store, step, stop_after=STEPS // 2)
    assert steps_kept(store.root, step.key) == 0
    assert run(store, step) == STEPS and everything(store, step) == uninterrupted("drawing")


def test_a_training_that_draws_from_the_global_generator_is_not_kept(tmp_path: Path) -> None:
    def dropped(model: Any, batch: Any, task: Any) -> torch.Tensor:
        return next_token_loss(model, batch, task) + torch.rand(())

    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch, keeping(Snapshots(tmp_path, "ab")):
        patch.setattr(snapshots, "EVERY", 0.0)
        fit(tiny_model(), Recall(), config(), loss=dropped, resumable=True)
    assert not (tmp_path / "partial").exists()


def test_no_snapshot_before_its_time(tmp_path: Path) -> None:
    with keeping(Snapshots(tmp_path, "ab")):
        fit(tiny_model(), Recall(), config())
    assert not (tmp_path / "partial").exists() and 5 <= snapshots.EVERY <= 30


# ---- snapshots that cannot be used


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def head_flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[data.index(b"steps") + 9] ^= 1
    file.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flipped, "is damaged"),
        (head_flipped, "is damaged"),
        (lambda file: file.write_bytes(b""), "is damaged"),
        (lambda file: file.write_bytes(b"[1]\n"), "is damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "is damaged"),
        (lambda file: other(file), "belongs to another training"),
    ],
)
def test_a_snapshot_that_cannot_be_used_is_told_and_training_begins_anew(
    harm: Callable[[Path], object],
    said: str,
    every: Callable[[int], None],
    methods: Path,
    tmp_path: Path,
    uninterrupted: Callable[[str], Any],
) -> None:
    every(4)
    store, step = Store(tmp_path), long("pretrain", methods)
    run(store, step, stop_after=20)
    (file,) = (store.root / "partial" / step.key).iterdir()
    harm(file)
    with pytest.warns(SnapshotWarning, match=rf"{file.name}' {said}.*starts over") as caught:
        assert run(store, step) == STEPS
    assert len(caught) == 1
    assert everything(store, step) == uninterrupted("pretrain")


def other(file: Path) -> None:
    """Put the snapshot of another training in a file's place."""
    root, key = file.parents[2], file.parent.name
    with pytest.MonkeyPatch.context() as patch, keeping(Snapshots(root, key)):
        file.unlink()
        patch.setattr(Snapshots, "due", lambda self: True)
        fit(tiny_model(), Recall(), config())


def test_a_disk_that_takes_no_snapshot_does_not_end_the_training(
    every: Callable[[int], None], methods: Path, tmp_path: Path, uninterrupted: Callable[[str], Any]
) -> None:
    every(1)
    store, step = Store(tmp_path), long("full", methods)
    (store.root / "partial").write_text("in the way")
    with pytest.warns(SnapshotWarning, match="cannot save a snapshot") as caught:
        assert run(store, step) == STEPS
    assert len(caught) == 1 and everything(store, step) == uninterrupted("full")


def test_what_was_left_long_ago_is_swept(every: Callable[[int], None], methods: Path, tmp_path: Path) -> None:
    every(4)
    store, step = Store(tmp_path), long("pretrain", methods)
    old, recent = (store.root / "partial" / name for name in ("old", "recent"))
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 31 * 24 * 3600,) * 2)
    run(store, step, stop_after=20)
    assert recent.exists() and not old.exists()


def test_snapshots_that_a_killed_process_left_beside_its_artefact_are_removed(tmp_path: Path) -> None:
    store, unfinished = Store(tmp_path), tmp_path / "partial" / "ab12"
    assert Plan([BASE]).run(store, jobs=1) == {}
    for folder in (left := tmp_path / "partial" / BASE.key, unfinished, tmp_path / "partial" / "No Key"):
        folder.mkdir(parents=True)
        (folder / "0.snapshot").write_text("")
    (tmp_path / "partial" / "file").touch()
    assert make(Plan([BASE]), store, at_once=AtOnce(jobs=1, stack=1), say=print) == {}
    assert not left.exists() and unfinished.exists()


# ---- kill -9

HERE = Path(__file__).parent
KILLED = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_resume import much
from capbench.pipeline import snapshots
from capbench.pipeline.plan import Plan
from capbench.store.store import Store
snapshots.EVERY = 0.05
print(Plan([much()]).run(Store(sys.argv[1]), jobs=1))
"""


def much() -> Pretrain:
    return replace(BASE, train=replace(TRAIN, steps=400), watch_every=50)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), *map(str, (HERE, HERE.parent / "helpers"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


@pytest.mark.slow
def test_after_kill_9_little_is_done_twice_and_nothing_differs(process: subprocess.Popen[str], tmp_path: Path) -> None:
    step, store = much(), Store(tmp_path / "killed")
    while process.poll() is None and not steps_kept(store.root, step.key) > 60:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not store.has(step.key)
    kept = steps_kept(store.root, step.key)
    assert run(store, step) == 400 - kept < 340
    untouched = Store(tmp_path / "untouched")
    assert run(untouched, step) == 400
    assert everything(store, step) == everything(untouched, step)


def test_the_seconds_are_those_of_all_runs(every: Callable[[int], None], methods: Path, tmp_path: Path) -> None:
    every(4)
    store, step = Store(tmp_path), long("pretrain", methods)
    run(store, step, stop_after=20)
    (file,) = (store.root / "partial" / step.key).iterdir()
    head, _, body = file.read_bytes().partition(b"\n")
    document = snapshots._checked(head)
    file.write_bytes(snapshots._line({**document, "seconds": 1000.0, "wall": 3000.0}) + body)  # it was one of a stack
    run(store, step)
    meta = store.meta(step.key) or {}
    assert 1000 < meta["seconds"] < 1000 + 60 and 3000 < meta["wall"] < 3000 + 60
