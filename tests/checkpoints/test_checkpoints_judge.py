"""Weights that were trained elsewhere, as a method: the same weights give the same results, and what is wrong is one line."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from exported import FAST, OTHER, SLOW, STEPS, Tensors, change, exported, fill, full, put
from tiny_suite import MAKING, capbench, lines_with, record, results, run, told, trained, write_suite
from torch.nn import functional as F

from capbench.checkpoints import copies
from capbench.checkpoints.manifest import read
from capbench.errors import MethodError, UsageError
from capbench.methods.specs.registry import MethodRef, find, load
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def original(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exports") / "mine"
    fill(place, exported(store, place, streams="target"), store)
    return place


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """An exported folder, filled by full fine-tuning."""
    return shutil.copytree(original, tmp_path / "mine")


def tuned_file(folder: Path, n: int = 0) -> Path:
    return folder / read(folder).entries[n].tuned


def judged(folder: Path, step: FineTune, store: Store) -> Tensors:
    """What the method of a folder makes of a step's base model."""
    tune = load(find(f"checkpoints:{folder}"))
    return dict(tune(load_model(step.base, store), step.task, step.train).state_dict())


def refused(folder: Path, step: FineTune, store: Store) -> str:
    with pytest.raises(MethodError) as error:
        judged(folder, step, store)
    assert "\n" not in str(error.value) and str(error.value).startswith("method 'checkpoints:mine': ")
    return str(error.value)


# ---- the method


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_the_model_has_the_weights_that_were_saved(store: Store, folder: Path, step: FineTune) -> None:
    found, expected = judged(folder, step, store), full(step, store)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    others = [full(other, store) for other in STEPS.values() if other is not step]
    assert all(not torch.equal(found["norm.bias"], other["norm.bias"]) for other in others)


def test_the_model_given_is_left_as_it_was(store: Store, folder: Path) -> None:
    base = load_model(SLOW.base, store)
    before = {name: t.clone() for name, t in base.state_dict().items()}
    load(find(f"checkpoints:{folder}"))(base, SLOW.task, SLOW.train)
    assert all(torch.equal(before[name], t) for name, t in base.state_dict().items())


def test_as_a_step_it_is_a_model_like_any_other_and_its_curves_have_two_ends(store: Store, folder: Path) -> None:
    by_full, by_folder = SLOW, replace(SLOW, method=find(f"checkpoints:{folder}"))
    assert Plan([by_full, by_folder]).run(store, jobs=1) == {}
    one, other = (load_model(step, store).state_dict() for step in (by_full, by_folder))
    assert all(torch.equal(one[name], other[name]) for name in one)
    meta: Any = store.meta(by_folder.key)
    curve: Any = store.meta(by_full.key)
    assert meta["curves"]["O_PT"] == [curve["curves"]["O_PT"][0], curve["curves"]["O_PT"][-1]]
    assert (meta["steps"], meta["diverged"]) == (0, False)


def test_the_device_of_the_judgement_does_not_matter(store: Store, folder: Path) -> None:
    assert judged(folder, replace(SLOW, train=replace(SLOW.train, device="cuda")), store)


def test_a_training_elsewhere_needs_what_the_folder_says_and_nothing_of_capbench(store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "mine", streams="target")
    train_elsewhere(tmp_path / "mine")
    for step in STEPS.values():
        base, found, expected = (load_model(step.base, store) for _ in range(3))
        found.load_state_dict(judged(tmp_path / "mine", step, store))
        expected.load_state_dict(full(step, store))
        tokens = step.task.sample(64, torch.Generator().manual_seed(0)).tokens
        with torch.no_grad():
            moved, missed = (float((model(tokens) - expected(tokens)).abs().max()) for model in (base, found))
        # Not bit for bit, since it is written in another way; the key's bias, whose gradient is zero, even moves at random.
        assert moved > 0.1 and missed < 1e-3 * moved


def train_elsewhere(folder: Path) -> None:
    """Full fine-tuning as the folder's README.txt describes it, in plain torch."""
    for entry in json.loads((folder / "manifest.json").read_text())["entries"]:
        weights = safetensors.torch.load_file(folder / entry["base"])
        data = safetensors.torch.load_file(folder / entry["data"]["target"])
        train, stream, sizes = entry["train"], entry["stream"], entry["architecture"]
        parameters = {name: t.requires_grad_() for name, t in weights.items()}
        decay = [p for p in parameters.values() if p.dim() > 1], [p for p in parameters.values() if p.dim() == 1]
        groups = [{"params": ps, "weight_decay": wd} for ps, wd in zip(decay, (train["weight_decay"], 0), strict=True)]
        optimizer = torch.optim.AdamW(groups, betas=tuple(train["betas"]))
        warm = int(train["warmup"] * train["steps"])
        for step in range(train["steps"]):
            rows = slice(step * train["batch_size"], (step + 1) * train["batch_size"])
            tokens, targets = data["tokens"][rows].long(), data["targets"][rows].long()
            logits = forward(parameters, tokens, sizes["n_blocks"], sizes["n_heads"])
            at = stream["answer_pos"]
            loss = F.cross_entropy(logits[:, at], targets[:, at].clone())
            targets[:, at] = stream["ignore"]
            if bool((targets != stream["ignore"]).any()):
                others = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=stream["ignore"])
                loss = others + stream["answer_weight"] * loss
            done = (step - warm) / (train["steps"] - warm)
            cosine = train["final_lr"] + (1 - train["final_lr"]) * 0.5 * (1 + math.cos(math.pi * done))
            for group in optimizer.param_groups:
                group["lr"] = train["lr"] * ((step + 1) / warm if step < warm else cosine)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), train["grad_clip"])
            optimizer.step()
        safetensors.torch.save_file({name: t.detach() for name, t in parameters.items()}, folder / entry["tuned"])


def forward(w: Tensors, tokens: torch.Tensor, n_blocks: int, n_heads: int) -> torch.Tensor:
    """A GPT, from the weights alone."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    n, t = tokens.shape
    x = w["token_embedding.weight"][tokens] + w["position_embedding.weight"][:t]
    future = torch.ones(t, t, dtype=torch.bool).triu(1)
    for b in (f"blocks.{i}" for i in range(n_blocks)):
        q, k, v = (
            part.view(n, t, n_heads, -1).transpose(1, 2)
            for part in linear(norm(x, f"{b}.norm1"), f"{b}.attn.qkv").chunk(3, dim=-1)
        )
        mixed = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf).softmax(-1) @ v
        x = x + linear(mixed.transpose(1, 2).reshape(n, t, -1), f"{b}.attn.out")
        x = x + linear(F.gelu(linear(norm(x, f"{b}.norm2"), f"{b}.mlp_in")), f"{b}.mlp_out")
    return norm(x, "norm") @ w["unembedding.weight"].T


# ---- what is wrong


def wider(weights: Tensors) -> None:
    weights["norm.bias"] = torch.zeros(9)


def half(weights: Tensors) -> None:
    weights["norm.bias"] = weights["norm.bias"].to(torch.bfloat16)


def lacking(weights: Tensors) -> None:
    del weights["norm.bias"]


def adapter(weights: Tensors) -> None:
    weights["lora.a"] = torch.zeros(2, 8)


def infinite(weights: Tensors) -> None:
    weights["norm.bias"][3] = math.inf


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (wider, "has 'norm.bias' as float32 (9,); the base model has float32 (8,)"),
        (half, "has 'norm.bias' as bfloat16 (8,); the base model has float32 (8,)"),
        (lacking, "lacks 'norm.bias' (float32 (8,))"),
        (adapter, "adds 'lora.a' (float32 (2, 8)), which the base model lacks; merge adapters"),
        (infinite, "has non-finite numbers in 'norm.bias'"),
    ],
)
def test_weights_of_another_model_are_refused(
    store: Store, folder: Path, how: Callable[[Tensors], None], words: str
) -> None:
    weights = full(SLOW, store)
    how(weights)
    put(folder, read(folder).entries[0], weights)
    said = refused(folder, SLOW, store)
    assert words in said and said.endswith("(slow, seed 0)") and tuned_file(folder).name in said
    assert judged(folder, FAST, store)  # the others do not suffer


def test_missing_weights_are_named_with_what_they_are_for(store: Store, folder: Path) -> None:
    file = tuned_file(folder)
    file.unlink()
    assert refused(folder, SLOW, store).endswith(f": no tuned weights for slow, seed 0: tuned/{file.name} is missing")
    assert judged(folder, FAST, store)


def test_a_bad_name_costs_its_own_entry_only(store: Store, folder: Path) -> None:
    tuned_file(folder).unlink()
    tuned_file(folder).symlink_to("gone.safetensors")
    (folder / "tuned" / "backup.safetensors").mkdir()
    assert "is a link to 'gone.safetensors', which is not there (slow, seed 0)" in refused(folder, SLOW, store)
    assert judged(folder, FAST, store)


def test_weights_in_shards_are_judged_as_those_in_one_file(store: Store, folder: Path) -> None:
    weights, place = full(SLOW, store), folder / "tuned" / read(folder).entries[0].id
    tuned_file(folder).unlink()
    place.mkdir()
    shards = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(weights)}
    for shard in set(shards.values()):
        safetensors.torch.save_file({n: t for n, t in weights.items() if shards[n] == shard}, place / shard)
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    found = judged(folder, SLOW, store)
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_the_same_weights_from_another_base_model_are_a_copy_and_from_the_same_perhaps(
    store: Store, folder: Path
) -> None:
    slow, fast, other = read(folder).entries
    shutil.copy(folder / slow.tuned, folder / other.tuned)
    for step, twin in ((SLOW, other), (OTHER, slow)):
        assert f"has the same weights as {twin.tuned}, which started from another base" in refused(folder, step, store)
    shutil.copy(folder / fast.tuned, folder / slow.tuned)
    (folder / other.tuned).unlink()
    assert judged(folder, SLOW, store) and judged(folder, FAST, store)
    (line,) = copies.warnings(folder, read(folder))
    assert line == f"2 files have the same weights: {slow.tuned} (slow, seed 0), {fast.tuned} (fast, seed 0)"


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02}q\x00.", b"\xff" * 100])
def test_a_file_that_is_no_safetensors_file_is_refused(store: Store, folder: Path, content: bytes) -> None:
    tuned_file(folder).write_bytes(content)
    assert "is not a safetensors file (" in refused(folder, SLOW, store)


def test_a_file_that_is_cut_short_is_refused(store: Store, folder: Path) -> None:
    file = tuned_file(folder)
    file.write_bytes(file.read_bytes()[:-1])
    assert "is not a safetensors file (" in refused(folder, SLOW, store)


def test_a_fine_tuning_that_was_not_exported_is_told_from_another_base_model(store: Store, folder: Path) -> None:
    said = refused(folder, replace(SLOW, train=replace(SLOW.train, steps=99)), store)
    assert "this fine-tuning was not exported (the folder has scale tiny, seeds 0, 1, 3 fine-tunings" in said
    swapped = replace(SLOW, base=OTHER.base)
    said = refused(folder, swapped, store)
    assert "the base model here is not the one that was exported (exported by capbench 0.1.0)" in said
    change(folder, lambda raw: raw.update(capbench="0.0.9"))
    assert "(exported by capbench 0.0.9, this is 0.1.0)" in refused(folder, swapped, store)


def test_a_manifest_that_was_lost_after_it_was_found_is_one_line(folder: Path) -> None:
    ref = find(f"checkpoints:{folder}")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(MethodError, match=r"method 'checkpoints:mine': '.*manifest.json' is damaged"):
        load(ref)


# ---- finding it


def test_it_is_found_wherever_it_is_named_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert find("checkpoints:mine") == find("checkpoints:./mine/") == find(f"checkpoints:{folder}")
    assert find("checkpoints:mine").name == "checkpoints:mine"
    monkeypatch.chdir(folder)
    assert find("checkpoints:.").name == "checkpoints:mine"


def test_new_weights_or_another_manifest_are_a_new_method_and_other_files_are_not(store: Store, folder: Path) -> None:
    def now() -> MethodRef:
        return find(f"checkpoints:{folder}")

    seen = [now()]
    (folder / "tuned" / "notes.txt").write_text("not weights")
    (folder / "README.txt").write_text("")
    assert now() == seen[0]
    put(folder, read(folder).entries[0], full(FAST, store))
    seen.append(now())
    tuned_file(folder).unlink()
    seen.append(now())
    change(folder, lambda raw: raw.update(scale="small"))
    seen.append(now())
    assert len({ref.digest for ref in seen}) == 4 and len({ref.spec for ref in seen}) == 1


def test_what_is_no_folder_of_an_export_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"method 'checkpoints:' names no folder; use checkpoints:DIR"):
        find("checkpoints:")
    with pytest.raises(MethodError, match=r"manifest.json' cannot be read \(No such file or directory\)"):
        find(f"checkpoints:{tmp_path}")


# ---- through pytest

TESTS = """
@about_base("of.base")
def test_base(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

@about_method("of.tuned")
def test_tuned(judge):
    judge.measure((weights, ["base", "tuned"]))
    moved = [abs(t - b) for t, b in zip(judge["tuned"], judge["base"])]
    judge.decide(at_least(moved, 1e-9, "weights moved"))

def revived(study, seed, case):
    fast = tiny(study).finetuned(seed, prior="low", c_tr=1, lr="large")
    return {"reft": tiny(study).revival(fast, seed, lr="medium")}

def curve(bench, reft):
    yield number(bench, "loss", reft.meta["loss"][-1][1])

@about_method("of.revived", needs=revived)
@pytest.mark.parametrize("case", [Case(prior="low")], ids=str)
def test_revived(judge):
    judge.measure((curve, ["reft"]))
    judge.decide(at_least(judge["loss"], 0.5, "loss"))
"""

# Full fine-tuning that also fills the folder: what comes back is bit for bit what it gave.
SAVES = """
import copy
from pathlib import Path
import safetensors.torch
from capbench.checkpoints import identity
from capbench.training.loop import fit

def full(model, task, config):
    name = identity.entry_id(identity.recipe(task, config), identity.tensors_hash(model.state_dict()))
    fit(tuned := copy.deepcopy(model), task, config)
    safetensors.torch.save_file(tuned.state_dict(), Path("mine", "tuned", name + ".safetensors"))
    return tuned
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite whose folder `mine` was exported for two seeds and filled by full fine-tuning."""
    write_suite(pytester, TESTS)
    pytester.path.joinpath("saves.py").write_text(SAVES)
    assert capbench(pytester, "export", "mine", "test_tiny.py", *MAKING, "--streams=none").ret == 0
    run(pytester, "--capbench-method=saves.py:full", "--capbench-report=by-method").assert_outcomes(passed=3)
    return pytester


def test_a_folder_filled_by_a_method_is_judged_as_the_method_is(suite: pytest.Pytester) -> None:
    result = run(suite, "--capbench-checkpoints=mine", "--capbench-report=by-folder")
    result.assert_outcomes(passed=3)
    assert lines_with(result, "capbench: ", "method checkpoints:mine")
    one, other = results(suite, "by-method"), results(suite, "by-folder")
    for claim in ("of.base", "of.tuned", "of.revived"):
        assert record(one, claim).measurements == record(other, claim).measurements
        assert record(one, claim).verdict == record(other, claim).verdict
    assert (other.run.methods, other.run.seeds) == (("checkpoints:mine",), (0, 1))
    made = trained(suite)
    run(suite, "--capbench-checkpoints=mine").assert_outcomes(passed=3)
    assert trained(suite) == made  # kept as those of any method


def test_what_is_missing_costs_its_own_claims_only_and_can_come_later(suite: pytest.Pytester) -> None:
    found = read(suite.path / "mine")
    (entry,) = (e for e in found.entries if e.serves == ("of.revived[prior=low], seed 1",))
    (suite.path / "mine" / entry.tuned).rename(suite.path / "kept")
    result = run(suite, "--capbench-checkpoints=mine")
    result.assert_outcomes(passed=2, errors=1)
    (line,) = told(result, "of.revived[prior=low]")
    assert line.endswith(f"no tuned weights for of.revived[prior=low], seed 1: {entry.tuned} is missing")
    # Another entry's in its place are a copy: that is told at once, and is an error of the claims that need one of them.
    (twin,) = (e for e in found.entries if e.serves == ("of.revived[prior=low], seed 0",))
    shutil.copy(suite.path / "mine" / twin.tuned, suite.path / "mine" / entry.tuned)
    result = run(suite, "--capbench-checkpoints=mine")
    result.assert_outcomes(passed=2, errors=1)
    assert lines_with(result, "capbench: warning: 2 files have the same weights: ", twin.tuned, entry.tuned)
    (suite.path / "kept").rename(suite.path / "mine" / entry.tuned)
    run(suite, "--capbench-checkpoints=mine").assert_outcomes(passed=3)


def test_the_seeds_are_the_folders_unless_fewer_are_asked_for(suite: pytest.Pytester) -> None:
    # `run` asks for two; the last option counts.
    run(suite, "--capbench-checkpoints=mine", "--capbench-seeds=1", "--capbench-report=one").assert_outcomes(passed=3)
    assert results(suite, "one").run.seeds == (0,)
    arguments = ("--capbench-cache=cache", "--capbench-jobs=1", "--capbench-report=two")  # the scale has three
    suite.runpytest_inprocess("--capbench-checkpoints=mine", *arguments).assert_outcomes(passed=3)
    assert results(suite, "two").run.seeds == (0, 1)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--capbench-checkpoints=none"], ["=none: there is no manifest.json in 'none'", "capbench export"]),
        (["--capbench-checkpoints=odd"], ["=odd: ", "is damaged"]),
        (
            ["--capbench-checkpoints=mine", "--capbench-method=full"],
            ["--capbench-method=full", "the weights take the place of a method", "omit one"],
        ),
        (["--capbench-checkpoints=mine", "--capbench-method-arg=rank=8"], ["--capbench-method-arg=rank=8", "omit one"]),
        (
            ["--capbench-checkpoints=mine", "--capbench-scale=smoke"],
            ["exported at scale 'small', this run has 'smoke'", "use --capbench-scale=small"],
        ),
        (
            ["--capbench-checkpoints=mine", "--capbench-seeds=3"],
            ["--capbench-seeds=3: 'mine' was exported with --seeds=2"],
        ),
    ],
)
def test_a_folder_that_cannot_be_judged_is_one_line(
    pytester: pytest.Pytester, store: Store, options: list[str], parts: list[str]
) -> None:
    write_suite(pytester, TESTS)
    exported(store, pytester.path / "mine", streams="none", scale="small")
    pytester.mkdir("odd").joinpath("manifest.json").write_text("[]")
    result = run(pytester, *options)
    errors = [line for line in result.errlines if line.strip()]
    assert result.ret == pytest.ExitCode.USAGE_ERROR and len(errors) == 1, errors
    assert [part for part in parts if part not in errors[0]] == [], errors
    assert trained(pytester) == 0
