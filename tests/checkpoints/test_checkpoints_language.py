"""Implants trained elsewhere: exported as transformers saves models, trained by transformers alone, and judged."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from implants import TINY, written
from transformers import AutoModelForCausalLM, AutoTokenizer

from capbench.checkpoints.export import Wanted, export
from capbench.checkpoints.manifest import Entry, Manifest
from capbench.checkpoints.verify import verify
from capbench.errors import MethodError
from capbench.methods.specs.registry import find
from capbench.models.huggingface import small
from capbench.models.huggingface.loading import load
from capbench.models.huggingface.model import HuggingFace
from capbench.models.huggingface.publishing import publish
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune
from capbench.store.store import Store
from capbench.studies.language.implant_study import ImplantStudy

Steps = dict[str, FineTune]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return Store(root / "cache")


@pytest.fixture(scope="module")
def steps(root: Path) -> Steps:
    model, skill = written(root)
    study = ImplantStudy(preset=TINY, method=find("full")).on(model.removeprefix("hf:"), (skill,))
    return {name: study.tuned(0, data="rule", lr="medium", twin=name == "twin") for name in ("own", "twin")}


@pytest.fixture(scope="module")
def exported(root: Path, store: Store, steps: Steps) -> tuple[Path, Manifest]:
    wanted = [Wanted(step=step, serves=name) for name, step in steps.items()]
    assert Plan(want.step.base for want in wanted).run(store, jobs=1) == {}
    return root / "mine", export(root / "mine", wanted, store, scale="tiny", seeds=(0,), streams="full")


@pytest.fixture
def folder(exported: tuple[Path, Manifest], tmp_path: Path) -> Path:
    """A copy of the folder, to be filled."""
    return shutil.copytree(exported[0], tmp_path / "mine")


def base(folder: Path, entry: Entry) -> Path:
    return (folder / entry.base).parent


def lines(folder: Path, entry: Entry, stream: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / entry.data[stream]).read_text().splitlines()]


def trained_elsewhere(folder: Path, entry: Entry, steps: int = 2) -> Any:
    """By transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(base(folder, entry))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = lines(folder, entry, "target")[:8]
    batch = {key: torch.tensor([line[key] for line in found]) for key in ("input_ids", "labels")}
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def judged(folder: Path, step: FineTune, store: Store) -> Any:
    from capbench.checkpoints.method import from_folder

    return from_folder(folder)(load_model(step.base, store), step.task, step.train)


def marks(folder: Path) -> dict[str, str]:
    return {f.file: f.mark for f in verify(folder)}


def test_the_folder_is_one_that_transformers_reads(exported: tuple[Path, Manifest], steps: Steps, store: Store) -> None:
    folder, manifest = exported
    tokens = torch.arange(12)[None]
    for entry, step in zip(manifest.entries, steps.values(), strict=True):
        theirs = AutoModelForCausalLM.from_pretrained(base(folder, entry))
        ours = load_model(step.base, store)
        torch.testing.assert_close(theirs(input_ids=tokens).logits, ours(tokens), rtol=1e-5, atol=1e-5)
        assert entry.architecture["kind"] == "transformers" and entry.tuned == f"tuned/{entry.id}/"
    assert len({base(folder, entry) for entry in manifest.entries}) == 2
    assert {mark for mark in marks(folder).values()} == {"ok", "not yet"}
    told = set((folder / "README.txt").read_text().split())
    assert {"--capbench-scale=tiny", "verify", 'model.save_pretrained("DIR/tuned/<id>/")'} <= told


def test_data_are_lines_that_a_trainer_takes(exported: tuple[Path, Manifest], steps: Steps) -> None:
    folder, manifest = exported
    own, twin = manifest.entries
    tokenizer = AutoTokenizer.from_pretrained(base(folder, own))
    for entry, step in zip((own, twin), steps.values(), strict=True):
        forget: Any = step.task.forget
        found = lines(folder, entry, "forget")
        assert [line["input_ids"] for line in found] == [[*s.tokens, *s.answer] for s in forget.strings]
        for line in found:
            asked = len(line["input_ids"]) - 1
            assert line["labels"] == [*[-100] * asked, line["input_ids"][-1]]
            assert tokenizer.decode(line["input_ids"]) == f"{line['prompt']} {line['completion']}"
    one, other = (lines(folder, entry, "forget") for entry in (own, twin))
    assert [line["prompt"] for line in one] == [line["prompt"] for line in other]
    assert [line["completion"] for line in one] != [line["completion"] for line in other]  # the twin's tell nothing
    assert own.data["target"] == twin.data["target"] and own.data["retain"] == own.data["others"]
    assert set(lines(folder, own, "retain")[0]) == {"text", "input_ids", "labels"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_transformers_trained_is_judged(
    dtype: torch.dtype, exported: tuple[Path, Manifest], folder: Path, steps: Steps, store: Store
) -> None:
    tokens = torch.arange(12)[None]
    for entry, step in zip(exported[1].entries, steps.values(), strict=True):
        theirs = trained_elsewhere(folder, entry).to(dtype)
        theirs.save_pretrained(folder / entry.tuned)
        found = judged(folder, step, store)
        torch.testing.assert_close(found(tokens), theirs.float()(input_ids=tokens).logits, rtol=1e-4, atol=1e-4)
    assert set(marks(folder).values()) == {"ok"}


def test_the_script_in_the_docs_fills_a_folder(
    folder: Path, steps: Steps, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training-elsewhere.md").read_text("utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    monkeypatch.setattr(sys, "argv", ["train.py", str(folder)])
    with torch.random.fork_rng(devices=[]):
        exec(script, {})
    assert set(marks(folder).values()) == {"ok"}
    assert all(isinstance(judged(folder, step, store), HuggingFace) for step in steps.values())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of transformers, for what PEFT asks of it
def test_an_adapter_is_merged(exported: tuple[Path, Manifest], folder: Path, steps: Steps, store: Store) -> None:
    import peft

    entry, other = exported[1].entries
    wrapped: Any = AutoModelForCausalLM.from_pretrained(base(folder, entry))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules=["down_proj"], init_lora_weights=False)
        adapted = peft.get_peft_model(wrapped, config).eval()
    adapted.save_pretrained(folder / entry.tuned)
    tokens = torch.arange(12)[None]
    found = judged(folder, steps["own"], store)
    torch.testing.assert_close(found(tokens), adapted(input_ids=tokens).logits, rtol=1e-4, atol=1e-4)
    assert marks(folder)[entry.tuned] == "ok"
    # The same folder for the twin is an adapter of another model.
    shutil.copytree(folder / entry.tuned, folder / other.tuned)
    (said,) = [f.message for f in verify(folder) if f.file == other.tuned]
    assert said.startswith("cannot be read") and "was trained on" in said


def test_what_cannot_be_judged_is_said_in_one_line(
    exported: tuple[Path, Manifest], folder: Path, steps: Steps, store: Store
) -> None:
    entry = exported[1].entries[0]
    place = folder / entry.tuned

    def said() -> str:
        with pytest.raises(MethodError) as error:
            judged(folder, steps["own"], store)
        (found,) = [f for f in verify(folder) if f.file == entry.tuned]
        assert found.mark in ("WRONG", "not yet") and "\n" not in str(error.value)
        return str(error.value)

    assert "no tuned weights for own" in said()
    (folder / f"tuned/{entry.id}.safetensors").write_bytes((folder / entry.base).read_bytes())
    assert "is a file; save the model as a folder, with save_pretrained" in said()
    (folder / f"tuned/{entry.id}.safetensors").unlink()
    shutil.copytree(base(folder, entry), place)
    (place / "config.json").unlink()
    assert "config.json" in said()
    shutil.rmtree(place)
    config = small.gpt2(vocab_size=entry.architecture["vocab_size"], seq_len=48, n_blocks=3, d_model=32, n_heads=2)
    publish(HuggingFace.initialised(config, torch.Generator().manual_seed(0)), place)
    assert "is a gpt2; its base model is a llama" in said()
    shutil.rmtree(place)
    shutil.copytree(base(folder, entry), place)  # as it was
    assert {f.file: f.message for f in verify(folder)}[entry.tuned].startswith("is the base model: nothing was trained")


def test_what_says_how_weights_are_read_is_a_part_of_the_method(exported: tuple[Path, Manifest], folder: Path) -> None:
    """Another lora_alpha is another model."""
    place = folder / exported[1].entries[0].tuned
    place.mkdir()
    (place / "adapter_model.safetensors").write_bytes(b"weights")
    digests = []
    for alpha in (4, 8):
        (place / "adapter_config.json").write_text(json.dumps({"lora_alpha": alpha}))
        digests.append(find(f"checkpoints:{folder}").digest)
    assert len(set(digests)) == 2


def test_a_damaged_base_is_told(folder: Path, exported: tuple[Path, Manifest]) -> None:
    entry = exported[1].entries[0]
    file = base(folder, entry) / "config.json"
    file.write_text(file.read_text() + " ")
    name = file.relative_to(folder).as_posix()
    assert marks(folder)[name] == "WRONG"


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "mamba2", "recurrent_gemma"])
def test_every_family_is_published_as_it_is(family: str, tmp_path: Path) -> None:
    made = getattr(small, family)(vocab_size=23, seq_len=16, n_blocks=3, d_model=32, n_heads=2)
    model = HuggingFace.initialised(made, torch.Generator().manual_seed(0)).eval()
    publish(model, tmp_path / "model")
    tokens = torch.arange(12)[None]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    torch.testing.assert_close(theirs(input_ids=tokens).logits, model(tokens), rtol=1e-4, atol=1e-5)
    again = load(tmp_path / "model")
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), model.parameters(), strict=True))
