"""Building compiled, perturbed and fine-tuned models: what they are made of, and what is recorded of a training."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import built
from tiny_study import BASE, TRAIN, tuned
from tiny_tracr import COUNT_A, COUNT_B

from capbench.measure.accuracy import accuracy, sample
from capbench.methods.specs.registry import find
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.recording import fit_meta
from capbench.pipeline.steps import FineTune, Perturb, Step
from capbench.store.store import Store
from capbench.studies.judge import Case, Claim, InvalidClaimError, Judge
from capbench.studies.lab import Lab
from capbench.studies.readings import finetuning_curves
from capbench.tasks.tracr.tasks import CounterTask
from capbench.training.loop import Fit, fit

TASK = CounterTask(alphabet="abcd", min_content=2, max_content=4, operand="a")
PERTURBED = Perturb(start=COUNT_A, scale=1e-3, seed=0)


def tensors(store: Store, step: Step) -> dict[str, torch.Tensor]:
    artefact = store.load(step.key)
    assert artefact is not None, step.label
    return dict(artefact.tensors)


def meta(store: Store, step: Step) -> Any:
    found = store.meta(step.key)
    assert found is not None, step.label
    return found


# ---- compiling


def test_a_compiled_step_is_the_program_that_it_names(compiled: Store) -> None:
    for step, operand in ((COUNT_A, "a"), (COUNT_B, "b")):
        model: Any = load_model(step, compiled)
        task = replace(TASK, operand=operand)
        assert accuracy(model, task, sample(task, 200, 0)) == 1.0
        assert model.config.program == step.name == f"count({operand})"
        assert (model.config.bos, model.config.pad, model.config.max_seq_len) == ("$", "#", 5)
        assert set(model.config.vocabulary) == {*"abcd$#"} and not model.training
        assert model.config.vocabulary == task.vocabulary  # the model's token ids are the task's
        assert model.config.outputs == tuple(range(5)) == task.answers  # and so are its classes


@pytest.mark.slow
def test_a_compiled_model_is_loaded_without_jax(compiled: Store) -> None:
    built(compiled, [PERTURBED])
    program = f"""
import sys, torch, capbench.models.tracr
sys.path.insert(0, {str(Path(__file__).parents[1] / "helpers")!r})
from tiny_tracr import COUNT_A
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Perturb
from capbench.store.store import Store
store = Store({str(compiled.root)!r})
step = Perturb(start=COUNT_A, scale=1e-3, seed=0)
assert Plan([step]).run(store, jobs=1) == {{}}  # there is nothing to do
model = load_model(step, store)
print(model(torch.tensor([{TASK.encode("ab")}]))[0, 2].argmax().item())
print(*sorted({{"jax", "haiku", "tracr", "chex"}} & sys.modules.keys()))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1\n\n", "")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"program": "capbench.tasks.tracr.programs:nothing"}, ["nothing"]),
        ({"program": "no_such:count"}, ["No module named 'no_such'"]),
        ({"program": "capbench.tasks.tracr.programs:kth_largest", "arguments": (0,)}, ["rank 0", "must be 1"]),
        ({"arguments": ()}, ["letter"]),
        ({"bos": "a"}, ["compiler_bos 'a'", "in the vocab"]),
        ({"max_seq_len": 0}, ["max_seq_len 0"]),
        ({"vocabulary": ()}, ["vocab is empty"]),
    ],
)
def test_a_program_that_cannot_be_compiled_is_one_line_and_blocks_what_needs_it(
    compiled: Store, changes: dict[str, Any], said: list[str]
) -> None:
    bad = replace(COUNT_A, **changes)
    errors = Plan([replace(PERTURBED, start=bad), PERTURBED]).run(compiled, jobs=1)
    assert errors.keys() == {bad.key, replace(PERTURBED, start=bad).key}
    assert len(set(errors.values())) == 1
    line = errors[bad.key]
    assert "\n" not in line and all(words in line for words in said), line


# ---- perturbing


def test_noise_is_added_to_every_parameter_and_to_nothing_else(compiled: Store) -> None:
    built(compiled, [PERTURBED])
    before, after = tensors(compiled, COUNT_A), tensors(compiled, PERTURBED)
    parameters = {name for name, _ in load_model(COUNT_A, compiled).named_parameters()}
    assert before.keys() == after.keys() and before.keys() - parameters == {"unembedding"}
    assert torch.equal(before["unembedding"], after["unembedding"])
    added = [(after[name] - before[name]).flatten() for name in sorted(parameters)]
    assert all((noise != 0).float().mean() > 0.9 for noise in added)  # next to a weight of 100 some is lost
    # Where the compiled weight is 0 the noise is exact.
    noise = torch.cat([after[name][before[name] == 0] for name in sorted(parameters)])
    assert len(noise) > 500
    assert noise.std().item() == pytest.approx(1e-3, rel=0.1) and abs(noise.mean().item()) < 2e-4
    assert 0.6 < (noise.abs() < 1e-3).float().mean() < 0.75  # .68 of a Gaussian


def test_perturbing_depends_on_seed_and_scale_and_leaves_the_compiled_model(compiled: Store, tmp_path: Path) -> None:
    before = tensors(compiled, COUNT_A)
    other, louder, none = replace(PERTURBED, seed=1), replace(PERTURBED, scale=2e-3), replace(PERTURBED, scale=0.0)
    built(compiled, [PERTURBED, other, louder, none])
    assert len({PERTURBED.key, other.key, louder.key, none.key, replace(PERTURBED, start=COUNT_B).key}) == 5
    kept = Store(tmp_path)
    kept.save(COUNT_A.key, tensors=before, meta=dict(meta(compiled, COUNT_A)), kind="Compile", config=COUNT_A.config)
    built(kept, [PERTURBED])  # once more, elsewhere
    again, one, two = (
        tensors(store, step) for store, step in ((kept, PERTURBED), (compiled, PERTURBED), (compiled, other))
    )
    assert all(torch.equal(again[name], one[name]) for name in one)
    assert not any(torch.equal(two[name], one[name]) for name in one if name != "unembedding")
    assert all(torch.equal(tensors(compiled, none)[name], before[name]) for name in before)
    for name, weights in tensors(compiled, louder).items():
        zero = before[name] == 0
        torch.testing.assert_close(weights[zero], 2 * one[name][zero])
    assert all(torch.equal(tensors(compiled, COUNT_A)[name], before[name]) for name in before)


# ---- what a training leaves behind

METHODS = """
import copy, math
from dataclasses import replace
from capbench.training.loop import fit, next_token_loss
def twice(model, task, config):
    tuned = copy.deepcopy(model)
    fit(tuned, task, config)
    fit(tuned, task, replace(config, steps=2))
    return tuned
def own_loop(model, task, config):
    return copy.deepcopy(model)
def no_number(model, task, config):
    tuned = copy.deepcopy(model)
    calls = []
    def loss(m, b, t):
        calls.append(1)
        return next_token_loss(m, b, t) * (math.nan if len(calls) == 3 else 1.0)
    fit(tuned, task, config, loss=loss)
    return tuned
"""


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("methods") / "mine.py"
    file.write_text(METHODS)
    return file


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = Store(tmp_path_factory.mktemp("store"))
    built(found, [BASE])
    return found


def test_losses_and_gradient_norms_of_a_training_are_kept(store: Store) -> None:
    step = tuned(find("full"))
    built(store, [step])
    found, model = meta(store, step), load_model(BASE, store)
    fitted = fit(model, step.task, step.train)
    assert found["loss"] == [[i + 1, loss] for i, loss in enumerate(fitted.losses)]
    assert found["grad_norm"] == [[i + 1, norm] for i, norm in enumerate(fitted.grad_norms)]
    assert len(found["loss"]) == found["steps"] == TRAIN.steps and found["diverged"] is False
    assert len(meta(store, BASE)["loss"]) == len(meta(store, BASE)["grad_norm"]) == TRAIN.steps


@pytest.mark.parametrize("method, points", [("twice", TRAIN.steps + 2), ("own_loop", 0)])
def test_all_trainings_of_a_method_are_kept_and_those_without_fit_have_none(
    store: Store, methods: Path, method: str, points: int
) -> None:
    step = tuned(find(f"{methods}:{method}"))
    built(store, [step])
    found = meta(store, step)
    assert [x for x, _ in found["loss"]] == [x for x, _ in found["grad_norm"]] == list(range(1, points + 1))
    assert found["steps"] == points and found["diverged"] is False


def test_long_curves_are_thinned_and_keep_the_largest_norm_of_every_stretch() -> None:
    losses, norms = [float(i) for i in range(1000)], [1.0] * 1000
    norms[123], norms[129], norms[130] = 50.0, 40.0, 30.0  # steps 124, 130 and 131
    parts = [(400, losses[:400], norms[:400]), (600, losses[400:], norms[400:])]
    found = fit_meta([Fit(steps=steps, losses=some, grad_norms=some_norms) for steps, some, some_norms in parts])
    assert found["steps"] == 1000 and found["diverged"] is False
    assert [x for x, _ in found["loss"]] == [x for x, _ in found["grad_norm"]] == list(range(10, 1001, 10))
    assert all(value == x - 1 for x, value in found["loss"])
    assert {x: value for x, value in found["grad_norm"] if value != 1.0} == {130: 50.0, 140: 30.0}


@pytest.mark.parametrize("steps", [209, 1999])
def test_the_end_of_a_curve_is_kept_too(steps: int) -> None:
    norms = [1.0] * (steps - 1) + [50.0]
    found = fit_meta([Fit(steps=steps, losses=norms, grad_norms=norms)])
    assert max(value for _, value in found["grad_norm"]) == 50.0


def test_values_that_are_no_numbers_are_left_out_of_the_curves() -> None:
    found = fit_meta([Fit(steps=1, diverged=True, losses=[1.0, math.nan], grad_norms=[math.inf, math.nan])])
    assert (found["loss"], found["grad_norm"], found["diverged"]) == ([[1, 1.0]], [], True)
    assert fit_meta([]) == {"steps": 0, "diverged": False, "loss": [], "grad_norm": []}


# ---- divergence


def exploding() -> FineTune:
    """SGD at a rate at which the first step throws the weights away; clipping does not come to it."""
    return replace(tuned(find("full")), train=replace(TRAIN, optimizer="sgd", lr=1e30, grad_clip=1e30, warmup=0.0))


@pytest.mark.parametrize("how", ["exploding", "no number"])
def test_a_claim_about_a_training_that_diverged_is_invalid(store: Store, methods: Path, how: str) -> None:
    step = exploding() if how == "exploding" else tuned(find(f"{methods}:no_number"))
    built(store, [step])
    found = meta(store, step)
    assert found["diverged"] is True and 0 < found["steps"] < TRAIN.steps
    assert all(math.isfinite(y) for name in ("loss", "grad_norm") for _, y in found[name])
    if how == "no number":  # nothing in the weights tells: it was the training loop that saw it
        assert all(torch.isfinite(t).all() for t in tensors(store, step).values())
        assert found["steps"] == 2
    claim = Claim(id="c", source="", needs=lambda study, seed, case: {"tuned": step})
    judge = Judge(
        claim=claim, case=Case(), nodeid="", method="full", study=Any, lab=Lab(store), steps={7: {"tuned": step}}
    )
    with pytest.raises(
        InvalidClaimError, match=rf"seed 7: training diverged \('tuned', step {found['steps']}\)"
    ) as error:
        judge.measure((finetuning_curves, ["tuned"]))
    assert "\n" not in str(error.value)


def test_compiled_steps_have_labels_and_parents() -> None:
    assert (COUNT_A.label, PERTURBED.label) == ("compile count(a)", "perturb count(a) seed 0")
    assert (COUNT_A.parents, PERTURBED.parents) == ((), (COUNT_A,))
    assert COUNT_A.key != COUNT_B.key and COUNT_A.config["program"].startswith("count@")
