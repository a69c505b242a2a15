"""`capbench verify`: what is there, what is missing, what is wrong; and its exit code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from cli_runs import Ended
from cli_runs import run as capbench
from exported import SLOW, change, exported, fill, full, put

from capbench.checkpoints.manifest import read
from capbench.pipeline.build import load_model
from capbench.store.store import Store

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def original(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exports") / "mine"
    fill(place, exported(store, place, streams="target"), store)
    return place


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An exported folder `mine` in the working directory, filled by full fine-tuning."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(original, tmp_path / "mine")


def last(ended: Ended) -> str:
    return ended.out.splitlines()[-1]


def wrong(ended: Ended) -> list[str]:
    return [line for line in ended.out.splitlines() if line.startswith("WRONG")]


def test_a_folder_that_is_ready_exits_with_0(capsys: Captured, folder: Path) -> None:
    ended = capbench(capsys, "verify", "mine")
    assert (ended.code, ended.err, wrong(ended)) == (0, "", [])
    assert last(ended) == "mine: 4 exported files intact, 3 tuned, 0 not yet, 0 wrong"
    for entry in read(folder).entries:
        (line,) = (line for line in ended.out.splitlines() if entry.tuned in line)
        assert line.startswith("ok") and line.endswith(entry.serves[0])


def test_what_is_missing_is_not_yet_there(capsys: Captured, folder: Path) -> None:
    entry = read(folder).entries[1]
    (folder / entry.tuned).unlink()
    ended = capbench(capsys, "verify", "mine")
    assert ended.code == 1 and "2 tuned, 1 not yet, 0 wrong" in last(ended)
    (line,) = (line for line in ended.out.splitlines() if line.startswith("not yet"))
    assert entry.tuned in line and "fast, seed 0" in line
    assert capbench(capsys, "verify", "mine", "--partial").code == 0


def test_a_fresh_export_is_fine_but_for_what_is_to_come(capsys: Captured, folder: Path) -> None:
    for file in (folder / "tuned").iterdir():
        file.unlink()
    assert capbench(capsys, "verify", "mine", "--partial").code == 0
    assert last(capbench(capsys, "verify", "mine")).endswith("4 exported files intact, 0 tuned, 3 not yet, 0 wrong")


def swap_base(folder: Path) -> str:
    (file,) = sorted((folder / "base").iterdir())[:1]
    tensors = safetensors.torch.load_file(file)
    tensors["norm.bias"] = tensors["norm.bias"] + 1
    safetensors.torch.save_file(tensors, file)
    return f"base/{file.name}"


def flip_data(folder: Path) -> str:
    file = min((folder / "data").iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return f"data/{file.name}"


def lose_data(folder: Path) -> str:
    file = min((folder / "data").iterdir())
    file.unlink()
    return f"data/{file.name}"


def folder_for_data(folder: Path) -> str:
    (folder / lose_data(folder)).mkdir()
    return "cannot be read"


def save_all(folder: Path, change_it: Callable[[dict[str, torch.Tensor]], object]) -> str:
    file = folder / read(folder).entries[0].tuned
    change_it(tensors := safetensors.torch.load_file(file))
    safetensors.torch.save_file(tensors, file)
    return file.name


def not_finite(folder: Path) -> str:
    save_all(folder, lambda tensors: tensors["norm.bias"].fill_(float("nan")))
    return "non-finite numbers in 'norm.bias'"


def three_faults(folder: Path) -> str:
    save_all(folder, lambda t: (t.pop("norm.bias"), t.update(more=torch.ones(1), other=torch.ones(1))))
    return "adds 'more' (float32 (1,)), which the base model lacks; merge adapters before saving, and 2 more"


def not_safetensors(folder: Path) -> str:
    torch.save({"norm.bias": torch.zeros(8)}, folder / read(folder).entries[0].tuned)
    return "is not a safetensors file"


def misnamed(folder: Path) -> str:
    (folder / "tuned" / "model.safetensors").write_bytes(b"")
    return "tuned/model.safetensors"


def weights_are_a_folder(folder: Path) -> str:
    file = folder / read(folder).entries[0].tuned
    file.unlink()
    file.mkdir()
    return "is a folder without weights"


FAULTS = [
    swap_base,
    flip_data,
    lose_data,
    folder_for_data,
    not_finite,
    three_faults,
    not_safetensors,
    misnamed,
    weights_are_a_folder,
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("partial", [[], ["--partial"]])
def test_one_fault_is_one_line_and_exit_code_1(
    capsys: Captured, folder: Path, fault: Callable[[Path], str], partial: list[str]
) -> None:
    words = fault(folder)
    ended = capbench(capsys, "verify", "mine", *partial)
    assert (ended.code, ended.err) == (1, "")
    (line,) = wrong(ended)
    assert words in line and ", 1 wrong" in last(ended)


def test_weights_that_are_those_of_the_base_model_were_not_trained(
    capsys: Captured, store: Store, folder: Path
) -> None:
    slow, fast, _ = read(folder).entries
    put(folder, slow, dict(load_model(SLOW.base, store).state_dict()))
    put(folder, fast, full(SLOW, store))  # the other's weights: nobody can tell
    (line,) = wrong(capbench(capsys, "verify", "mine"))
    assert slow.tuned in line and "is the base model: nothing was trained" in line


def test_a_folder_that_is_none_is_a_mistake_and_a_bad_manifest_a_finding(capsys: Captured, folder: Path) -> None:
    ended = capbench(capsys, "verify", "nowhere")
    assert ended.code == 2 and "there is no folder 'nowhere'" in ended.err
    change(folder, lambda raw: raw.update(schema=7))
    ended = capbench(capsys, "verify", "mine")
    assert (ended.code, ended.err) == (1, "") and "has schema 7; this capbench reads 1" in ended.out
    (folder / "manifest.json").unlink()
    ended = capbench(capsys, "verify", "mine")
    assert ended.code == 1 and "there is no manifest.json in 'mine'" in ended.out
