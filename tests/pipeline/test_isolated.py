"""A user's method runs in a process of its own: what it leaves there touches nothing else, and its weights must tell all."""

from __future__ import annotations

import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recall import Recall
from tiny_study import BASE, START, TRAIN, revived, tuned

from capbench.methods.specs.registry import find
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.pipeline.process_state import Hooks, Settings
from capbench.pipeline.steps import Step
from capbench.store.store import Store

# Whatever a method can leave behind, at its import and when it is called; and methods whose weights do not tell all.
METHODS = '''
import copy, os, random, sys
import numpy as np
import torch
from capbench import fit
from capbench.measure import accuracy
from capbench.models.gpt import Gpt
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training import loop

sys.path.insert(0, "/nowhere")
torch.set_flush_denormal(True)

def trained(model, task, config):
    fit(tuned := copy.deepcopy(model), task, config)
    return tuned

def poisons(model, task, config):
    tuned = trained(model, task, config)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("medium")
    torch.autograd.set_detect_anomaly(True)
    torch.set_autocast_enabled("cpu", True)
    torch.set_default_device("meta")
    torch.backends.mkldnn.flags(enabled=False).__enter__()
    torch.inference_mode().__enter__()
    torch.nn.functional.cross_entropy = lambda *a, **k: torch.zeros((), requires_grad=True)
    torch.nn.Module.train = lambda self, mode=True: self
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    PcfgTask.sample = lambda self, n, rng: 1 / 0
    accuracy.accuracy = loop.fit = lambda *a, **k: 0.0
    np.seterr(all="raise")
    os.environ["OMP_NUM_THREADS"] = "7"
    os.chdir("/")
    sys.setrecursionlimit(60)
    return tuned

def everything(model, task, config):
    """Also what changes the answers of all models there."""
    tuned = trained(model, task, config)
    torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: out * 2 if torch.is_tensor(out) else None)
    answers = Gpt.answer_logits
    Gpt.answer_logits = lambda self, tokens, position: answers(self, tokens, position).roll(1, -1)
    return tuned

def hook(model, task, config):
    tuned = copy.deepcopy(model)
    tuned.blocks[0].register_forward_hook(lambda module, given, out: out + torch.arange(out.shape[-1]))
    return tuned

def pre_hook_on_some_prompts(model, task, config):
    tuned = copy.deepcopy(model)
    shown = task.retain.sample(1, torch.Generator().manual_seed(0)).tokens[0, 0]
    tuned.register_forward_hook(lambda m, given, out: out.flip(-1) if (given[0][:, 0] == shown).any() else out)
    return tuned

def own_answers(model, task, config):
    tuned = copy.deepcopy(model)
    tuned.answer_logits = lambda tokens, position: tuned(tokens)[:, position].flip(-1)
    return tuned

def own_forward(model, task, config):
    class Steered(Gpt):
        def forward(self, tokens):
            return super().forward(tokens).flip(-1)
    tuned = copy.deepcopy(model)
    tuned.__class__ = Steered
    return tuned

def beside_the_weights(model, task, config):
    tuned = copy.deepcopy(model)
    tuned.blocks[0].norm1.eps = 10.0
    return tuned

def overflow(model, task, config):
    tuned = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.mul_(1e30)
    return tuned

def cannot_answer(model, task, config):
    tuned = copy.deepcopy(model)
    tuned.forward = lambda tokens: 1 / 0
    return tuned

def wrong_copy(model, task, config):
    trained(model, task, config)
    return copy.deepcopy(model)

def prints_and_leaves_a_thread(model, task, config):
    import threading, time
    print("chatter")
    threading.Thread(target=time.sleep, args=(60,)).start()
    return trained(model, task, config)

def draws_globally(model, task, config):
    tuned = trained(model, task, config)
    with torch.no_grad():
        tuned.unembedding.weight += torch.rand_like(tuned.unembedding.weight) + float(np.random.rand() + random.random())
    return tuned
'''


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("methods") / "mine.py"
    file.write_text(METHODS)
    return file


def everything_in(store: Store, steps: list[Step]) -> dict[str, Any]:
    """By step: weights as bytes and what was recorded, but for the time."""
    found: dict[str, Any] = {}
    for step in steps:
        artefact = store.load(step.key)
        assert artefact is not None, step.label
        weights = {name: (str(t.dtype), t.contiguous().numpy().tobytes()) for name, t in artefact.tensors.items()}
        found[step.label] = weights, {**artefact.meta, "seconds": None}
    return found


FULL = tuned(find("full"))
HONEST: list[Step] = [START, BASE, FULL, revived(FULL), revived(BASE)]  # what nobody may touch


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is made where no user's method ever ran."""
    store = Store(tmp_path_factory.mktemp("alone"))
    assert Plan(HONEST).run(store, jobs=1) == {}
    return everything_in(store, HONEST)


def error_of(method: str, methods: Path, store: Store) -> str:
    step = tuned(find(f"{methods}:{method}"))
    return Plan([step]).run(store, jobs=1).get(step.key, "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# ---- nothing else is touched


@pytest.mark.slow
@pytest.mark.parametrize("jobs, poison_first", [(1, True), (1, False), (2, True)])
def test_what_a_method_leaves_in_its_process_touches_nothing_else(
    store: Store, methods: Path, alone: dict[str, Any], jobs: int, poison_first: bool
) -> None:
    poisons, other, steers = (tuned(find(f"{methods}:{name}")) for name in ("poisons", "trained", "everything"))
    settings, hooks, path, modules = Settings(), Hooks(), list(sys.path), set(sys.modules)
    steps: list[Step] = [poisons, other, *HONEST]
    if poison_first and jobs == 1:
        assert Plan([poisons]).run(store, jobs=jobs) == {}
    steps = [steers, *steps]
    assert Plan(steps if poison_first else steps[::-1]).run(store, jobs=jobs).keys() == {steers.key}
    assert everything_in(store, HONEST) == alone
    (weights, _), (same, _), (honest, _) = (everything_in(store, [step])[step.label] for step in (poisons, other, FULL))
    assert weights == same == honest  # they train as `full` does
    assert settings.changed() == hooks.changed() == [] and sys.path == path
    assert not [name for name in sys.modules.keys() - modules if "mine" in name or name.startswith("capbench_method_")]


def test_steps_of_one_method_share_a_process_and_others_do_not(
    store: Store, methods: Path, alone: dict[str, Any]
) -> None:
    method = find(f"{methods}:poisons")
    steps = [tuned(method), replace(tuned(method), train=replace(TRAIN, seed=1))]
    assert Plan([*steps, *HONEST]).run(store, jobs=1, stack=8) == {}
    for step in HONEST:
        weights, _ = everything_in(store, [step])[step.label]
        for name, (dtype, _) in weights.items():
            assert dtype == "torch.float32", (step.label, name)
    assert all(store.has(step.key) for step in steps)


@pytest.mark.skipif(os.environ.get("CAPBENCH_THOROUGH") != "1", reason="starts a Ray cluster")
def test_on_ray_nothing_is_touched_either(store: Store, methods: Path, alone: dict[str, Any]) -> None:
    steps: list[Step] = [tuned(find(f"{methods}:poisons")), *HONEST]
    assert Plan(steps).run(store, jobs=1, ray=RayCluster(address=None)) == {}
    assert everything_in(store, HONEST) == alone


def test_what_was_left_in_this_process_does_not_count(store: Store, alone: dict[str, Any]) -> None:
    """As a conftest.py that imports such a method leaves it."""
    before, hooks = Settings(), Hooks()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: 1 / 0)
        left = Settings()
        assert Plan(HONEST).run(store, jobs=1) == {}
        assert left.changed() == [] and hooks.changed() == ["_global_forward_hooks"]
    finally:
        before.restore(), hooks.restore()
    assert everything_in(store, HONEST) == alone


def test_global_generators_are_seeded_so_that_a_run_repeats(tmp_path: Path, methods: Path) -> None:
    step = tuned(find(f"{methods}:draws_globally"))
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    for store in stores:
        torch.rand(3)
        assert Plan([step]).run(store, jobs=1) == {}
    assert everything_in(stores[0], [step]) == everything_in(stores[1], [step])


def test_a_process_is_new_for_every_call_and_ends_with_it(store: Store, methods: Path, tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text(
        "import copy, os\nfrom pathlib import Path\nCALLS = []\n"
        "def tune(model, task, config):\n"
        "    CALLS.append(1)\n"
        "    Path(__file__).with_suffix('.log').open('a').write(f'{os.getpid()} {len(CALLS)}\\n')\n"
        "    return copy.deepcopy(model)\n"
    )
    one = tuned(find(f"{tmp_path / 'who.py'}:tune"))
    noisy = tuned(find(f"{methods}:prints_and_leaves_a_thread"))
    assert Plan([one, replace(one, train=replace(TRAIN, seed=1)), noisy]).run(store, jobs=1) == {}
    lines = [line.split() for line in (tmp_path / "who.log").read_text().splitlines()]
    assert [calls for _, calls in lines] == ["1", "1"] and len({pid for pid, _ in lines} | {str(os.getpid())}) == 3
    for pid, _ in lines:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_a_task_that_only_this_process_knows_is_said_in_one_line(store: Store, methods: Path) -> None:
    """One that a notebook defines, for instance."""
    module = types.ModuleType("only_here")
    module.Task = type("Task", (Recall,), {"__module__": "only_here"})  # type: ignore[attr-defined]
    step = tuned(find(f"{methods}:trained"))
    step = replace(step, task=replace(step.task, retain=module.Task()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "only_here", module)
        line = Plan([step]).run(store, jobs=1)[step.key]
    assert "cannot be read in the method's process: ModuleNotFoundError: No module named 'only_here'" in line
    assert "\n" not in line


# ---- the weights must tell all


@pytest.mark.parametrize(
    "method", ["hook", "pre_hook_on_some_prompts", "own_answers", "own_forward", "beside_the_weights", "everything"]
)
def test_a_model_that_answers_otherwise_than_its_weights_is_refused(store: Store, methods: Path, method: str) -> None:
    line = error_of(method, methods, store)
    assert f"mine.py:{method}" in line and "its weights do not tell all about" in line and "\n" not in line
    assert "saved and loaded, it answers differently" in line


def test_answers_that_are_nan_are_refused_and_named(store: Store, methods: Path) -> None:
    line = error_of("overflow", methods, store)
    assert "mine.py:overflow" in line and "answers NaN" in line and "though its weights are finite" in line


def test_a_model_that_cannot_answer_is_refused(store: Store, methods: Path) -> None:
    assert "returned a model that cannot answer: ZeroDivisionError" in error_of("cannot_answer", methods, store)


@pytest.mark.parametrize("method", ["mine.py:wrong_copy", "identity", "mine.py:trained", "full"])
def test_whether_a_weight_changed_is_recorded(store: Store, methods: Path, method: str) -> None:
    step = tuned(find(method.replace("mine.py", str(methods))))
    assert Plan([step]).run(store, jobs=1) == {}
    assert (store.meta(step.key) or {})["changed"] == (method not in ("mine.py:wrong_copy", "identity"))
