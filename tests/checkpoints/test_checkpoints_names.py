"""What may lie in tuned/: every form of weights is read or has its own line, and only its own entry suffers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from capbench.checkpoints.manifest import Entry, File, Manifest
from capbench.checkpoints.verify import Finding, verify
from capbench.checkpoints.weights import info
from capbench.methods.specs.checkpoints import Checkpoints

Tensors = dict[str, torch.Tensor]
IDS = ("0a" * 8, "0b" * 8, "0c" * 8)
NAMES = (
    "embed.weight",
    "blocks.0.up.weight",
    "blocks.0.up.bias",
    "blocks.1.up.weight",
    "blocks.1.up.bias",
    "norm.bias",
)
OURS = IDS[0]


def weights(seed: int) -> Tensors:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn((2, 3) if "weight" in name else (2,), generator=rng) for name in NAMES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported folder with three entries of three base models, of which two are filled."""
    place = tmp_path / "mine"
    (place / "tuned").mkdir(parents=True)
    (place / "base").mkdir()
    files, entries = {}, []
    for n, name in enumerate(IDS):
        path = f"base/{name}.safetensors"
        safetensors.torch.save_file(weights(n), place / path)
        files[path] = File(sha256="0", size=1, tensors=info(weights(n)))
        entry = Entry(
            **{"id": name, "serves": (f"claim {n}",), "base": path, "base_tensors": str(n), "recipe": "", "data": {}},
            **{"train": {}, "stream": {}, "architecture": {}},
        )
        entries.append(entry)
        if name != OURS:
            safetensors.torch.save_file(weights(10 + n), place / entry.tuned)
    write(place, files, entries)
    return place


def write(folder: Path, files: dict[str, File], entries: list[Entry]) -> None:
    made = Manifest(
        capbench="0", torch="0", scale="tiny", seeds=(0,), streams="none", files=files, entries=tuple(entries)
    )
    (folder / "manifest.json").write_text(made.to_json())


def said(folder: Path) -> dict[str, Finding]:
    """What is said of the tuned weights, by entry or name."""
    found = [finding for finding in verify(folder) if finding.tuned]
    assert all("\n" not in finding.message and len(finding.message) < 320 for finding in found)
    return {Path(finding.file).name.removesuffix(".safetensors"): finding for finding in found}


def save(file: Path, tensors: Tensors | None = None) -> None:
    file.parent.mkdir(exist_ok=True)
    safetensors.torch.save_file(weights(7) if tensors is None else tensors, file)


def shards(index: Path, *, change: Callable[[dict[str, str]], object] = lambda names: None) -> None:
    """Two shards beside their index, as libraries of Hugging Face write them."""
    stem = index.name.removesuffix(".safetensors.index.json")
    names = {name: f"{stem}-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(NAMES)}
    for shard in sorted(set(names.values())):
        save(index.with_name(shard), {name: t for name, t in weights(7).items() if names[name] == shard})
    change(names)
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))


def renamed(how: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda tuned: save(tuned / f"{OURS}.safetensors", {how(name): t for name, t in weights(7).items()})


def changed(how: Callable[[Tensors], object]) -> Callable[[Path], None]:
    def make(tuned: Path) -> None:
        how(tensors := weights(7))
        save(tuned / f"{OURS}.safetensors", tensors)

    return make


def bytes_(content: bytes, name: str = f"{OURS}.safetensors") -> Callable[[Path], None]:
    return lambda tuned: void(tuned.joinpath(name).write_bytes(content))


def void(_: object) -> None:
    """For functions that return something."""


def both(*parts: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(tuned: Path) -> None:
        for part in parts:
            part(tuned)

    return make


def link(target: str, name: str = f"{OURS}.safetensors") -> Callable[[Path], None]:
    return lambda tuned: tuned.joinpath(name).symlink_to(target)


def to_elsewhere(tuned: Path) -> None:
    """A link to a file outside the folder."""
    save(tuned.parents[1] / "kept.safetensors")
    link("../../kept.safetensors")(tuned)


def folder_by_link(tuned: Path) -> None:
    save(tuned.parents[1] / "run" / "model.safetensors")
    link("../../run", OURS)(tuned)


def single(name: str) -> Callable[[Path], None]:
    return lambda tuned: save(tuned / name)


def index(name: str, **more: Callable[[dict[str, str]], object]) -> Callable[[Path], None]:
    def make(tuned: Path) -> None:
        (tuned / name).parent.mkdir(exist_ok=True)
        shards(tuned / name, **more)

    return make


def lose(pattern: str) -> Callable[[Path], None]:
    return lambda tuned: next(tuned.rglob(pattern)).unlink()


INDEX = f"{OURS}.safetensors.index.json"
READ: dict[str, Callable[[Path], None]] = {
    "file": single(f"{OURS}.safetensors"),
    "other case": single(f"{OURS.upper()}.SafeTensors"),
    "link": to_elsewhere,
    "link to a folder": folder_by_link,
    "folder": single(f"{OURS}/model.safetensors"),
    "folder of the file's name": single(f"{OURS}.safetensors/model.safetensors"),
    "index": index(INDEX),
    "index in a folder": index(f"{OURS}/model.safetensors.index.json"),
    "index with a mark": both(index(INDEX), lambda tuned: mark(tuned / INDEX)),
    "beside hidden files": both(single(f"{OURS}.safetensors"), bytes_(b"", ".DS_Store")),
}


def mark(file: Path) -> None:
    """Put a byte order mark before a text."""
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


TORCH = f"is there only as tuned/{OURS}.bin, which is not read, as it could run code; convert it with safetensors.torch"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    # Names.
    "dangling": (link("../gone.safetensors"), "is a link to '../gone.safetensors', which is not there"),
    "loop": (link(f"{OURS}.safetensors"), "is a link that leads back to itself"),
    "empty folder": (lambda tuned: (tuned / f"{OURS}.safetensors").mkdir(), "is a folder without weights"),
    "pipe": (lambda tuned: os.mkfifo(tuned / f"{OURS}.safetensors"), "is not a file"),
    "no ending": (single(OURS), f"is there only as tuned/{OURS}, which is no file of weights"),
    "twice": (
        both(single(f"{OURS}.safetensors"), single(f"{OURS}/model.safetensors")),
        f"is there 2 times (tuned/{OURS}/model.safetensors, tuned/{OURS}.safetensors); keep one",
    ),
    "two cases": (
        both(single(f"{OURS}.safetensors"), single(f"{OURS.upper()}.safetensors")),
        f"is there 2 times (tuned/{OURS.upper()}.safetensors, tuned/{OURS}.safetensors); keep one",
    ),
    "two in a folder": (
        both(single(f"{OURS}/model.safetensors"), single(f"{OURS}/last.safetensors")),
        "is a folder with more than one (last.safetensors, model.safetensors); keep one",
    ),
    # Shards.
    "lost shard": (
        both(index(INDEX), lose("*2-of-00002*")),
        f"names the shard '{OURS}-00002-of-00002.safetensors', which is missing",
    ),
    "shards alone": (
        both(index(INDEX), lose("*.json")),
        f"has shards ({OURS}-00001-of-00002.safetensors, …) without an index; add {INDEX}",
    ),
    "shards alone in a folder": (
        both(index(f"{OURS}/model.safetensors.index.json"), lose("*.json")),
        "has shards (model-00001-of-00002.safetensors, …) without an index; add model.safetensors.index.json",
    ),
    "index is no JSON": (bytes_(b"{", INDEX), 'is not an index of shards; it must be JSON with a "weight_map"'),
    "index is a list": (bytes_(b"[]", INDEX), "is not an index of shards"),
    "index in UTF-16": (bytes_("{}".encode("utf-16"), INDEX), "is not an index of shards"),
    "index without a map": (bytes_(b'{"weight_map": {"a": 1}}', INDEX), "is not an index of shards"),
    "shard elsewhere": (
        index(INDEX, change=lambda names: names.update({"norm.bias": "../../etc/x.safetensors"})),
        "names the shard '../../etc/x.safetensors', which is not beside it",
    ),
    "index lacks a name": (
        index(INDEX, change=lambda names: names.pop("norm.bias")),
        "has, and the index does not name 'norm.bias'",
    ),
    "index has a name too many": (
        index(INDEX, change=lambda names: names.update({"more": names["norm.bias"]})),
        "lacks 'more'",
    ),
    # Other formats.
    "bin": (lambda tuned: torch.save(weights(7), tuned / f"{OURS}.bin"), TORCH),
    "pt": (bytes_(b"", f"{OURS}.pt"), "which is not read, as it could run code; convert it"),
    "pth": (bytes_(b"", f"{OURS}.pth"), "safetensors.torch.save_file(torch.load(FILE, weights_only=True), …)"),
    "npz": (bytes_(b"", f"{OURS}.npz"), f"is there only as tuned/{OURS}.npz; save it with safetensors.torch.save_file"),
    "bin in a folder": (
        both(lambda tuned: (tuned / OURS).mkdir(), bytes_(b"", f"{OURS}/pytorch_model.bin")),
        f"is there only as tuned/{OURS}/pytorch_model.bin, which is not read",
    ),
    "renamed zip": (
        lambda tuned: torch.save(weights(7), tuned / f"{OURS}.safetensors"),
        "is not a safetensors file (a file of torch.save under another name); convert it",
    ),
    "Git LFS": (
        bytes_(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is not a safetensors file (a pointer of Git LFS); fetch the file itself: git lfs pull",
    ),
    "Git LFS shard": (
        both(
            index(INDEX), bytes_(b"version https://git-lfs.github.com/spec/v1\n", f"{OURS}-00001-of-00002.safetensors")
        ),
        f"names the shard '{OURS}-00001-of-00002.safetensors', which is not a safetensors file (a pointer of Git LFS)",
    ),
    "web page": (bytes_(b"<!DOCTYPE html>\n<html>"), "is not a safetensors file (a web page)"),
    "empty": (bytes_(b""), "is not a safetensors file ("),
    # Names of tensors.
    "module.": (renamed(lambda n: f"module.{n}"), "all 6 names begin with 'module.' (DataParallel or alike); strip it"),
    "_orig_mod.": (
        renamed(lambda n: f"_orig_mod.{n}"),
        "all 6 names begin with '_orig_mod.' (torch.compile); strip it",
    ),
    "base_model.model.": (
        renamed(lambda n: f"base_model.model.{n}"),
        "has other names than the base model: all 6 names begin with 'base_model.model.' (PEFT); strip it before saving",
    ),
    "two of them": (
        renamed(lambda n: f"_orig_mod.module.{n}"),
        "all 6 names begin with '_orig_mod.module.' (torch.compile, DataParallel or alike); strip it",
    ),
    "model.": (renamed(lambda n: f"model.{n}"), "all 6 names begin with 'model.'; strip it before saving"),
    "prefix and more": (
        changed(lambda t: [t.update({f"module.{n}": t.pop(n) for n in NAMES}), t.update(n_averaged=torch.ones(1))]),
        "6 of 7 names begin with 'module.' (DataParallel or alike); strip it",
    ),
    "a block's": (
        renamed(lambda n: n.replace("blocks.1.", "blocks.1._orig_mod.")),
        "'blocks.1._orig_mod.up.bias' (and 1 more) hold '_orig_mod.' (torch.compile); strip it",
    ),
    "adapter": (
        lambda tuned: save(tuned / f"{OURS}.safetensors", {"base_model.model.embed.lora_A.weight": torch.ones(2)}),
        "'base_model.model.embed.lora_A.weight' is of an adapter (PEFT); merge the adapters",
    ),
    "pruned": (
        changed(lambda t: t.update({"norm.bias_orig": t.pop("norm.bias"), "norm.bias_mask": torch.ones(2)})),
        "'norm.bias' is computed from others (pruning); undo it with `torch.nn.utils.prune.remove(module, 'bias')`",
    ),
    # Types.
    "half": (
        changed(lambda t: t.update({n: v.half() for n, v in t.items()})),
        "convert it with `.float()`, and 5 more",
    ),
    "bfloat16": (
        changed(lambda t: t.update({"norm.bias": t["norm.bias"].bfloat16()})),
        "has 'norm.bias' as bfloat16 (2,); the base model has float32 (2,): convert it with `.float()`",
    ),
    "double": (changed(lambda t: t.update({n: v.double() for n, v in t.items()})), "convert it with `.float()`"),
}


@pytest.mark.parametrize("form", READ)
def test_weights_in_every_usual_form_are_read(folder: Path, form: str) -> None:
    READ[form](folder / "tuned")
    assert {name: finding.mark for name, finding in said(folder).items()} == dict.fromkeys(IDS, "ok")


@pytest.mark.parametrize("form", WRONG)
def test_one_bad_name_is_one_line_about_its_own_entry(folder: Path, form: str) -> None:
    make, words = WRONG[form]
    make(folder / "tuned")
    found = said(folder)
    assert {name: finding.mark for name, finding in found.items()} == dict(zip(IDS, ("WRONG", "ok", "ok"), strict=True))
    assert words in found[OURS].message and found[OURS].message.endswith(" (claim 0)")
    # It is found as a method, so that the others can be judged, and can be sent to other machines.
    files = Checkpoints().files(Checkpoints().find(f"checkpoints:{folder}").spec).files
    assert folder / "manifest.json" in files and all(path.is_file() for path in files)


@pytest.mark.parametrize("form", ["file", "link", "folder", "index in a folder"])
def test_other_weights_are_another_method_in_whatever_form(folder: Path, form: str) -> None:
    def now() -> str:
        return Checkpoints().find(f"checkpoints:{folder}").digest

    digests = [now()]
    READ[form](folder / "tuned")
    digests.append(now())
    (file, *_) = (path for path in folder.glob("tuned/**/*.safetensors") if OURS in str(path) and path.is_file())
    file.write_bytes(file.read_bytes() + b" ")
    digests.append(now())
    file.unlink()
    file.symlink_to("gone")
    assert len({*digests, now()}) == 4


@pytest.mark.parametrize(
    "name", ["backup.safetensors/", "old/", "notes.txt", f"{OURS} (1).safetensors", "lost.safetensors"]
)
def test_a_stray_name_is_told_and_costs_no_entry(folder: Path, name: str) -> None:
    save(folder / "tuned" / f"{OURS}.safetensors")
    stray = folder / "tuned" / name
    if name.endswith("/"):
        stray.mkdir()
    elif name.startswith("lost"):
        stray.symlink_to("nowhere")
    else:
        stray.write_text("")
    found = said(folder)
    assert {found.pop(entry).mark for entry in IDS} == {"ok"}
    (only,) = found.values()
    assert (only.mark, only.message) == ("WRONG", "belongs to no entry of the manifest; check its name")
    assert Checkpoints().find(f"checkpoints:{folder}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tuned: tuned.symlink_to("gone"), "tuned/ is a link to 'gone', which is not there"),
        (lambda tuned: tuned.symlink_to("tuned"), "tuned/ is a link that leads back to itself"),
        (lambda tuned: tuned.write_text(""), "tuned/ cannot be read (Not a directory)"),
    ],
)
def test_a_bad_folder_of_weights_is_told_of_every_entry(
    folder: Path, make: Callable[[Path], object], words: str
) -> None:
    shutil.rmtree(folder / "tuned")
    assert {finding.mark for finding in said(folder).values()} == {"not yet"}
    make(folder / "tuned")
    assert {finding.mark for finding in said(folder).values()} == {"WRONG"}
    assert all(words in finding.message for finding in said(folder).values())


def test_the_same_weights_under_several_entries_are_told(folder: Path) -> None:
    for name in IDS:
        save(folder / "tuned" / f"{name}.safetensors")
    found = said(folder)
    assert {finding.mark for finding in found.values()} == {"WRONG"}
    assert found[IDS[1]].message == (
        f"has the same weights as tuned/{OURS}.safetensors, which started from another base model: one is a copy (claim 1)"
    )
    # From one base model, by trainings that differ, it could be.
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["entries"]:
        entry["base_tensors"] = "0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = said(folder)
    assert {finding.mark for finding in found.values()} == {"note"}
    assert found[OURS].message == f"has the same weights as tuned/{IDS[1]}.safetensors (claim 0)"
