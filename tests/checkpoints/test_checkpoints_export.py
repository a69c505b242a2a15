"""What an export writes: base models, the data that a training here would see, a manifest that reads back; or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from exported import FAST, OTHER, SLOW, change, exported
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_study import tuned
from tiny_suite import MAKING, Ended, capbench, lines_with, trained, write_suite

import capbench.checkpoints.export as exporting
from capbench.checkpoints import identity
from capbench.checkpoints.export import volume
from capbench.checkpoints.manifest import Manifest, read
from capbench.configs import GptConfig
from capbench.errors import CapbenchError, UsageError
from capbench.methods.specs.registry import find
from capbench.models.gpt import Gpt
from capbench.pipeline.build import load_model
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store
from capbench.tasks.base import Batch
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import batches

TESTS = """
@about_base("of.base")
def test_base(judge):
    raise AssertionError("no test is run")

@about_method("of.tuned")
def test_tuned(judge):
    raise AssertionError("no test is run")

def revived(study, seed, case):
    fast = tiny(study).finetuned(seed, prior="low", c_tr=1, lr="large")
    return {"reft": tiny(study).revival(fast, seed, lr="medium")}

@about_method("of.revived", needs=revived)
@pytest.mark.parametrize("case", [Case(prior="low")], ids=str)
def test_revived(judge):
    raise AssertionError("no test is run")

def own(study, seed, case):
    from capbench.methods.specs.registry import find
    return tuned(dataclasses.replace(study, method=find("full")), seed, case)

@about_base("of.fixed", needs=own)
def test_fixed(judge):
    raise AssertionError("no test is run")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported(store, found := tmp_path_factory.mktemp("exports") / "mine")
    return found


# ---- the folder


def test_the_manifest_reads_back_as_it_was_written(store: Store, folder: Path, tmp_path: Path) -> None:
    assert read(folder) == exported(store, tmp_path / "again")
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_a_folder_holds_what_it_should_and_nothing_is_written_twice(folder: Path) -> None:
    found = read(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["README.txt", "base", "data", "manifest.json", "tuned"]
    assert list((folder / "tuned").iterdir()) == []
    slow, fast, other = found.entries
    assert len({slow.id, fast.id, other.id}) == 3
    assert slow.base == fast.base != other.base  # two base models
    assert slow.data == fast.data  # the rate does not matter for what is drawn …
    assert not set(slow.data.values()) & set(other.data.values())  # … the seed does
    assert set(slow.data) == {"target", "retain", "forget", "others"}
    assert {p.relative_to(folder).as_posix() for p in folder.glob("*/*")} == found.files.keys()
    assert (slow.serves, fast.train["lr"], slow.train["steps"]) == (("slow, seed 0",), 3e-2, 6)
    assert (slow.stream["answer_pos"], slow.stream["ignore"]) == (SLOW.task.answer_pos, -1)
    assert "pytest suites/ --capbench-checkpoints=DIR --capbench-scale=tiny" in (folder / "README.txt").read_text()


@pytest.mark.parametrize("step", [SLOW, OTHER])
def test_the_data_are_those_that_training_here_would_see(folder: Path, step: FineTune) -> None:
    (entry,) = (
        e for e in read(folder).entries if e.train["seed"] == step.train.seed and e.train["lr"] == step.train.lr
    )
    data = safetensors.torch.load_file(folder / entry.data["target"])
    drawn = [batch for batch, _ in zip(batches(step.task, step.train), range(step.train.steps), strict=False)]
    assert data["tokens"].dtype == data["targets"].dtype == torch.int8
    assert torch.equal(data["tokens"].long(), torch.cat([b.tokens for b in drawn]))
    assert torch.equal(data["targets"].long(), torch.cat([b.targets for b in drawn]))
    assert bool((data["targets"] == -1).any())  # kept, not made another number by the small type


def test_the_other_streams_are_of_other_texts_with_right_answers(folder: Path) -> None:
    entry = read(folder).entries[0]
    streams = {name: safetensors.torch.load_file(folder / path) for name, path in entry.data.items()}
    assert {tuple(s["tokens"].shape) for s in streams.values()} == {(6 * 4, SLOW.task.seq_len)}
    target, forget = (streams[name]["tokens"] for name in ("target", "forget"))
    assert not torch.equal(target, forget)
    again = next(batches(SLOW.task.forget, replace(SLOW.train, seed=SLOW.train.seed + 2)))
    assert torch.equal(forget[:4].long(), again.tokens)


def test_the_base_weights_and_the_architecture_rebuild_the_model(store: Store, folder: Path) -> None:
    entry = read(folder).entries[0]
    sizes = {name: value for name, value in entry.architecture.items() if name != "kind"}
    rebuilt = Gpt(GptConfig(**sizes))
    rebuilt.load_state_dict(safetensors.torch.load_file(folder / entry.base))
    tokens = safetensors.torch.load_file(folder / entry.data["target"])["tokens"].long()
    assert torch.equal(rebuilt.eval()(tokens), load_model(SLOW.base, store)(tokens))


@pytest.mark.parametrize(("streams", "names"), [("none", set()), ("target", {"target"})])
def test_how_much_data_is_written_can_be_chosen(store: Store, tmp_path: Path, streams: str, names: set[str]) -> None:
    found = exported(store, tmp_path / "mine", streams=streams)
    assert [set(entry.data) for entry in found.entries] == [names] * 3
    assert len(found.files) == 2 + 2 * len(names)


def test_progress_counts_the_strings_that_are_drawn(store: Store, tmp_path: Path) -> None:
    wanted = [exporting.Wanted(step=step, serves="x") for step in (SLOW, FAST)]
    seen: list[int] = []
    exporting.export(tmp_path / "mine", wanted, store, scale="tiny", seeds=(0,), streams="full", progress=seen.append)
    strings, size = volume(wanted, "full")
    assert sum(seen) == strings == 4 * 6 * 4
    assert size == sum(
        t.numel()
        for path in sorted((tmp_path / "mine" / "data").iterdir())
        for t in safetensors.torch.load_file(path).values()
    )


@dataclass(frozen=True, kw_only=True)
class ManyAnswers:
    """A task with more answers than tokens, rare ones among them, as compiled programs may have."""

    largest: int
    name: str = "many"
    vocab_size: int = 9
    seq_len: int = 5
    answer_pos: int = 4
    answer_weight: float = 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        targets = torch.full((n, 5), -1)
        targets[:, 4] = torch.where(torch.rand(n, generator=rng) < 0.02, self.largest, 3)
        return Batch(torch.randint(9, (n, 5), generator=rng), targets)


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(127, torch.int8), (128, torch.int16), (32767, torch.int16), (32768, torch.int32), (2**31, torch.int64)],
)
def test_no_target_is_too_large_for_its_type(store: Store, tmp_path: Path, largest: int, dtype: torch.dtype) -> None:
    task = ManyAnswers(largest=largest)
    step = replace(
        SLOW,
        task=FineTuningTask(target=task, retain=task, forget=task),
        train=replace(SLOW.train, steps=100),
    )
    (entry,) = exported(store, tmp_path / "mine", streams="full", one=step).entries
    assert set(entry.data) == {"target", "retain", "forget"}  # there are no others
    data = safetensors.torch.load_file(tmp_path / "mine" / entry.data["target"])
    drawn = [batch for batch, _ in zip(batches(task, step.train), range(100), strict=False)]
    assert data["targets"].dtype == dtype and int(data["targets"].max()) == largest
    assert torch.equal(data["targets"].long(), torch.cat([b.targets for b in drawn]))
    assert torch.equal(data["tokens"].long(), torch.cat([b.tokens for b in drawn]))


def test_two_claims_that_need_the_same_are_one_entry(store: Store, tmp_path: Path) -> None:
    on_gpu = replace(SLOW, train=replace(SLOW.train, device="cuda"))  # where it is trained is no part of what it is
    (entry,) = exported(store, tmp_path / "mine", one=SLOW, two=on_gpu, three=SLOW).entries
    assert entry.serves == ("one", "two", "three") and entry.title == "one (and 2 more)"


def test_an_export_that_breaks_off_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> Iterator[Any]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_drawn", full_disk)
    with pytest.raises(CapbenchError, match=r"mine' cannot be written \(No space left on device\)"):
        exported(store, tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_an_id_changes_with_everything_that_a_fine_tuning_depends_on(store: Store) -> None:
    recipe = identity.recipe(SLOW.task, SLOW.train)
    assert recipe == identity.recipe(tuned(find("identity")).task, replace(SLOW.train, device="cuda"))
    others = [replace(SLOW.train, steps=5), replace(SLOW.train, lr=1.0), replace(SLOW.train, seed=1)]
    assert recipe not in {identity.recipe(SLOW.task, train) for train in others}
    assert recipe != identity.recipe(replace(SLOW.task, retain=SLOW.task.forget), SLOW.train)
    weights = load_model(SLOW.base, store).state_dict()
    before = identity.tensors_hash(weights)
    assert before == identity.tensors_hash(dict(reversed(weights.items())))
    weights["norm.bias"][0] += 1e-6
    assert len({before, identity.tensors_hash(weights)}) == 2
    assert identity.entry_id(recipe, before) != identity.entry_id(recipe, identity.tensors_hash(weights))


# ---- a manifest that cannot be used


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda raw: raw.update(schema=2), "has schema 2; this capbench reads 1"),
        (lambda raw: raw.pop("seeds"), "'seeds' is missing"),
        (lambda raw: raw.update(seeds=[]), "names no seeds"),
        (lambda raw: raw["entries"][0].update(id="../../x"), "'../../x' is not an entry's id"),
        (lambda raw: raw["entries"][0].update(base="base/../../x.safetensors"), "is not the path of an exported file"),
        (lambda raw: raw["entries"][0].update(base="base/00000000.safetensors"), "is not among its files"),
        (lambda raw: raw.update(entries={}), "should be of type list"),
    ],
)
def test_a_damaged_manifest_is_one_line(store: Store, tmp_path: Path, how: Any, words: str) -> None:
    exported(store, tmp_path / "mine", streams="none")
    change(tmp_path / "mine", how)
    with pytest.raises(UsageError) as error:
        read(tmp_path / "mine")
    assert words in str(error.value) and "\n" not in str(error.value)


SOME: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_manifest_it_is_read_or_refused_in_one_line(folder: Path, data: st.DataObject) -> None:
    raw = json.loads((folder / "manifest.json").read_text())
    place = raw
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(SOME)
    copy = folder.parent / "fuzzed"
    copy.mkdir(exist_ok=True)
    (copy / "manifest.json").write_text(json.dumps(raw))
    try:
        assert isinstance(read(copy), Manifest)
    except UsageError as error:
        assert "\n" not in str(error)


# ---- through the command


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    write_suite(pytester, TESTS)
    return pytester


def exports(suite: pytest.Pytester, *words: str) -> Ended:
    return capbench(suite, "export", "mine", "test_tiny.py", *MAKING, *words)


def test_it_writes_what_the_collected_tests_need_and_runs_none(suite: pytest.Pytester) -> None:
    result = exports(suite)
    assert result.ret == 0, result.err
    assert lines_with(result, "capbench: wrote mine: 4 fine-tunings, 2 base models, data full", " MB")
    found = read(suite.path / "mine")
    assert (found.scale, found.seeds) == ("small", (0, 1))
    assert sorted(entry.serves for entry in found.entries) == [
        ("of.revived[prior=low], seed 0",),
        ("of.revived[prior=low], seed 1",),
        ("of.tuned, seed 0",),
        ("of.tuned, seed 1",),
    ]
    assert trained(suite) == 4  # two initialisations, two base models: no fine-tuning


def test_what_is_exported_follows_the_selection(suite: pytest.Pytester) -> None:
    assert exports(suite, "--seeds=1", "--streams=none", "-k", "of.tuned").ret == 0
    found = read(suite.path / "mine")
    assert [entry.serves for entry in found.entries] == [("of.tuned, seed 0",)]
    assert not (suite.path / "mine" / "data").exists()


def test_scale_and_extended_claims_are_those_asked_for(suite: pytest.Pytester) -> None:
    file = suite.path / "test_tiny.py"
    file.write_text(
        file.read_text().replace('@about_method("of.tuned")', '@pytest.mark.extended\n@about_method("of.tuned")')
    )
    suite.mkdir("suites").joinpath("test_all.py").write_text(file.read_text())
    options = ("--cache=cache", "--jobs=1", "--seeds=1", "--scale=smoke", "--streams=none", "--device=cpu")
    assert capbench(suite, "export", "core", *options).ret == 0  # of the suites in this folder
    assert capbench(suite, "export", "all", *options, "--extended").ret == 0
    assert [len(read(suite.path / name).entries) for name in ("core", "all")] == [1, 2]
    assert read(suite.path / "all").scale == "smoke"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("mine -k of.base", ["none of the collected tests needs a fine-tuned model"]),
        ("mine -k of.fixed", ["none of the collected tests needs a fine-tuned model"]),
        ("mine --method=full", ["--method=full", "not of `capbench export`", "omit it"]),
        ("mine --report=reports", ["--report=reports", "not of `capbench export`", "omit it"]),
        ("mine --expect=preserve", ["--expect=preserve", "not of `capbench export`", "omit it"]),
        ("mine --capbench-checkpoints=x", ["--capbench-checkpoints=x", "not of `capbench export`", "omit it"]),
        ("mine --streams=some", ["--streams=some", "none, target, full"]),
        ("mine -n 2", ["-n 2", "export --help"]),
        ("mine --scale=huge", ["--scale=huge: unknown scale", "smoke, small, paper"]),
        ("test_tiny.py", ["'test_tiny.py'", "is a file"]),
        ("test_tiny.py/below", ["is not writable"]),
        ("used", ["'used'", "is not empty; give a new one"]),
    ],
)
def test_an_export_that_cannot_work_is_one_line(suite: pytest.Pytester, words: str, parts: list[str]) -> None:
    suite.mkdir("used").joinpath("weights").write_text("precious")
    before = sorted(suite.path.rglob("*"))
    directory, *options = words.split()
    result = capbench(suite, "export", directory, "test_tiny.py", *MAKING, *options)
    assert result.ret == 2 and len(result.errlines) == 1, result.err
    assert [part for part in parts if part not in result.err] == [], result.err
    assert [p for p in sorted(suite.path.rglob("*")) if p not in before and "safetensors" in p.name] == []
    assert not (suite.path / "mine").exists()


def test_a_model_that_cannot_be_made_ends_the_export_with_1(suite: pytest.Pytester) -> None:
    file = suite.path / "test_tiny.py"
    file.write_text(file.read_text().replace("n_heads=1", "n_heads=3"))
    result = exports(suite)
    assert result.ret == 1
    assert lines_with(result, "nothing was exported: ", "d_model 8 must be a multiple of n_heads 3")
    assert not (suite.path / "mine").exists() and "Traceback" not in result.err


def test_no_test_no_export(suite: pytest.Pytester) -> None:
    assert exports(suite, "-k", "nothing_of_that_name").ret == 5
    assert not (suite.path / "mine").exists()
