"""Checking the bundled base models: files whole, shapes right, of the code and configuration asked for. Imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from capbench.errors import CapbenchError
from capbench.pipeline.steps import Pretrain
from capbench.store.keys import key_of
from capbench.zoo.alike import without_code
from capbench.zoo.bundle import LIMIT, described, load
from capbench.zoo.manifest import MODELS, Entry, read

if TYPE_CHECKING:
    import torch

Mark = Literal["ok", "old", "absent", "stray", "WRONG"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is said of one model. ok: used; old: of another version of the code; absent: asked for, not bundled.

    stray: a file that the manifest does not name, left by an interrupted build.
    """

    what: str
    mark: Mark
    message: str


def verify(folder: Path, wanted: Iterable[Pretrain]) -> list[Finding]:
    """One finding per bundled model, per model that is wanted and not bundled, and per stray file.

    wanted: the base models that the suites need, as they are now. Raises UsageError if the manifest is damaged.
    """
    steps = {step.key: step for step in wanted}
    manifest = read(folder)
    entries = () if manifest is None else manifest.models
    plain = {without_code(described(step)): step for step in steps.values()}
    replaced: set[str] = set()
    findings = []
    for entry in entries:
        now = plain.get(without_code(entry.config))
        if now is not None and now.key != entry.key:
            replaced.add(now.key)
        findings.append(_of_entry(folder, entry, steps.get(entry.key), now))
    bundled = {entry.key for entry in entries} | replaced
    absent = "asked for by the suites, but not bundled"
    findings += [
        Finding(what=_name(step.label, step.train.steps), mark="absent", message=absent)
        for key, step in steps.items()
        if key not in bundled
    ]
    return [*findings, *_stray(folder, entries), *_size(entries)]


def shown(finding: Finding) -> str:
    """As one line."""
    return f"{finding.mark:<6}  {finding.what}: {finding.message}"


def summary(folder: Path, findings: Iterable[Finding]) -> str:
    """One line for all."""
    marks = [finding.mark for finding in findings]
    ok, old, absent, wrong = (marks.count(mark) for mark in ("ok", "old", "absent", "WRONG"))
    words = f"{folder}: {ok} base models ok, {old} old, {absent} absent, {wrong} wrong"
    stray = marks.count("stray")
    if stray:
        words += f", {stray} {'files' if stray > 1 else 'file'} left over"
    if old:
        words += (
            f"; {old} of {ok + old} models were made by another version of the code and will be retrained; "
            "run capbench zoo build, or rekey if they train to the same weights"
        )
    elif absent or wrong or stray:
        words += "; run capbench zoo build"
    return words


def _of_entry(folder: Path, entry: Entry, step: Pretrain | None, now: Pretrain | None) -> Finding:
    try:
        tensors, meta = load(folder, entry)
    except CapbenchError as error:
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=f"its file {entry.file} {error}")
    if (size := (folder / entry.file).stat().st_size) != entry.size:
        said = f"its file has {size} bytes; the manifest says {entry.size}"
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=said)
    if (key := _key(entry)) != entry.key:
        said = f"its configuration has the key {key}, not the manifest's {entry.key}"
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=said)
    last = {name: points[-1][1] for name, points in meta.get("curves", {}).items() if points}
    if last != dict(entry.accuracies):
        said = f"its accuracies are {last}, the manifest has {dict(entry.accuracies)}"
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=said)
    if step is None:
        if now is not None:
            return Finding(
                what=_name(entry.label, entry.steps),
                mark="old",
                message="made by another version of the code: not used",
            )
        return Finding(
            what=_name(entry.label, entry.steps),
            mark="old",
            message="no suite asks for it in this configuration: not used",
        )
    if faults := list(_faults(tensors, step)):
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=f"its file {entry.file} {faults[0]}")
    weakest = min(last, key=lambda name: last[name], default=None)
    said = f"weakest: {weakest} at {last[weakest]:.3f}" if weakest else "no accuracies"
    return Finding(what=_name(entry.label, entry.steps), mark="ok", message=said)


def _faults(tensors: Mapping[str, torch.Tensor], step: Pretrain) -> Iterator[str]:
    """Why these cannot be the weights of the step's model."""
    import importlib

    import torch

    with torch.device("meta"):  # shapes only
        module, _, name = step.start.architecture.partition(":")
        model = getattr(importlib.import_module(module), name)(step.start.model)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        name = min(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        yield f"has {name!r} as {found.get(name)}; the model has {expected.get(name)}"
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            yield f"has {name!r} as {tensor.dtype} or not all finite; it must be finite float32"


def _name(label: str, steps: int) -> str:
    return f"{label}, {steps} steps"


def _key(entry: Entry) -> str:
    """The key that the entry's configuration gives: that of a step whose start stands for its own key."""
    return key_of({**entry.config, "start": key_of(entry.config.get("start") or {})})


def _stray(folder: Path, entries: Iterable[Entry]) -> Iterator[Finding]:
    known = {entry.file for entry in entries}
    for file in sorted((folder / MODELS).glob("*.safetensors")):
        if (path := f"{MODELS}/{file.name}") not in known:
            yield Finding(what=path, mark="stray", message="the manifest does not name it; the next build removes it")


def _size(entries: Iterable[Entry]) -> Iterator[Finding]:
    if (size := sum(entry.size for entry in entries)) > LIMIT:
        yield Finding(
            what=MODELS, mark="WRONG", message=f"{size / 1e6:.1f} MB in all; at most {LIMIT / 1e6:g} MB may be bundled"
        )
