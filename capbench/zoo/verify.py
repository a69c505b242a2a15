"""Checking what is bundled: files whole, shapes right, of the code and configuration asked for. Imports torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from capbench.errors import CapbenchError
from capbench.pipeline.steps import Pretrain
from capbench.store.keys import key_of
from capbench.zoo import records as measured
from capbench.zoo.alike import Bundled, described, key_as, without_code
from capbench.zoo.bundle import LIMIT, load, unnamed
from capbench.zoo.manifest import NAME, Entry, Kind, Manifest, Records, counted, read
from capbench.zoo.records import Content, Wanted

if TYPE_CHECKING:
    import torch

Mark = Literal["ok", "old", "absent", "unasked", "stray", "WRONG"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is said of one model, curve or reading. ok: used; old: of another version of the code; absent: not bundled.

    unasked: bundled, and of no use to the suites that were asked. stray: a file that the manifest does not name, left by an
    interrupted build. measured: of how many curves and readings this is said; 0: it is said of a model or a file.
    """

    what: str
    mark: Mark
    message: str
    measured: int = 0


def verify(folder: Path, wanted: Iterable[Bundled], records: Iterable[Wanted] = ()) -> list[Finding]:
    """One finding per bundled model, per model that is wanted and not bundled, and per stray file.

    wanted, records: the base models that the suites need, and what they measure of models that no method had a part in, as they
    are now. Of a bundle without curves and readings none are asked. Raises UsageError if the manifest is damaged.
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
    if manifest is not None and manifest.records is not None:
        findings += _of_records(folder, manifest.records, {each.entry.key: each for each in records})
    return [*findings, *_stray(folder, manifest), *_size(manifest)]


def shown(finding: Finding) -> str:
    """As one line."""
    return f"{finding.mark:<7}  {finding.what}: {finding.message}"


def in_order(findings: Iterable[Finding], *, part: bool = False) -> bool:
    """Whether nothing is to be done. part: only part of the suites was asked, so that others may have a use for the rest."""
    return all(finding.mark == "ok" or (part and finding.mark == "unasked") for finding in findings)


def summary(folder: Path, findings: Iterable[Finding], *, part: bool = False) -> str:
    """One line for all. part: as in `in_order`."""
    findings = list(findings)
    marks = [finding.mark for finding in findings if not finding.measured]
    ok, old, absent, wrong, unasked = (marks.count(mark) for mark in ("ok", "old", "absent", "WRONG", "unasked"))
    words = f"{folder}: {ok} models ok, {old} old, {absent} absent, {wrong} wrong"
    recorded = {mark: sum(f.measured for f in findings if f.mark == mark) for mark in ("ok", "old", "absent", "WRONG")}
    if any(recorded.values()):
        words += "; curves and readings: {ok} ok, {old} old, {absent} absent, {WRONG} wrong".format(**recorded)
    if unasked:
        words += f"; {unasked} that these suites do not ask for"
    stray = marks.count("stray")
    if stray:
        words += f", {stray} {'files' if stray > 1 else 'file'} left over"
    if old:
        words += (
            f"; {old} of {ok + old} models were made by another version of the code and will be retrained; "
            "run capbench zoo build, or rekey if they train to the same weights"
        )
    elif not in_order(findings, part=part):
        words += "; run capbench zoo build"
    return words


def _of_entry(folder: Path, entry: Entry, step: Bundled | None, now: Bundled | None) -> Finding:
    try:
        tensors, meta = load(folder, entry)
    except CapbenchError as error:
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=f"its file {entry.file} {error}")
    if (size := (folder / entry.file).stat().st_size) != entry.size:
        said = f"its file has {size} bytes; the manifest says {entry.size}"
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=said)
    if (key := key_as(entry.config)) != entry.key:
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
            mark="unasked",
            message="no suite asks for it in this configuration: not used",
        )
    if faults := list(_faults(tensors, step)):
        return Finding(what=_name(entry.label, entry.steps), mark="WRONG", message=f"its file {entry.file} {faults[0]}")
    weakest = min(last, key=lambda name: last[name], default=None)
    said = f"weakest: {weakest} at {last[weakest]:.3f}" if weakest else "no accuracies"
    return Finding(what=_name(entry.label, entry.steps), mark="ok", message=said)


def _faults(tensors: Mapping[str, torch.Tensor], step: Bundled) -> Iterator[str]:
    """Why these cannot be the weights of the step's model."""
    import torch

    if isinstance(step, Pretrain):  # the shapes of a compiled model are known when its program is compiled
        yield from _misshapen(tensors, step)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            yield f"has {name!r} as {tensor.dtype} or not all finite; it must be finite float32"


def _misshapen(tensors: Mapping[str, torch.Tensor], step: Pretrain) -> Iterator[str]:
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


def _name(label: str, steps: int) -> str:
    return f"{label}, {steps} steps"


def _of_records(folder: Path, records: Records, wanted: Mapping[str, Wanted]) -> Iterator[Finding]:
    """What is as it should be is counted; the others are said one by one."""
    try:
        content = measured.load(folder, records)
    except CapbenchError as error:
        yield Finding(what=records.file, mark="WRONG", message=str(error), measured=len(records.entries))
        return
    now = {each.entry.alike: key for key, each in wanted.items()}
    ok: Counter[Kind] = Counter()
    replaced: set[str] = set()
    for entry in records.entries:
        if fault := _wrong(entry.key, content[entry.key], wanted.get(entry.key)):
            yield Finding(what=entry.label, mark="WRONG", message=fault, measured=1)
        elif entry.key in wanted:
            ok[entry.kind] += 1
        elif entry.alike in now:
            replaced.add(now[entry.alike])
            made_by = "made by another version of the code: not used"
            yield Finding(what=entry.label, mark="old", message=made_by, measured=1)
        else:
            asked = "no suite asks for it as it is: not used"
            yield Finding(what=entry.label, mark="unasked", message=asked, measured=1)
    for kind, n in sorted(ok.items(), reverse=True):
        yield Finding(what=counted(kind, n), mark="ok", message="as the suites ask for", measured=n)
    for key in wanted.keys() - records.by_key.keys() - replaced:
        absent = "asked for by the suites, but not bundled"
        yield Finding(what=wanted[key].entry.label, mark="absent", message=absent, measured=1)


def _wrong(key: str, content: Content, wanted: Wanted | None) -> str:
    """What is wrong with a curve or reading; '' if nothing is."""
    if (its := key_of(content.config)) != key:
        return f"its configuration has the key {its}, not the manifest's {key}"
    if wanted is not None and wanted.entry.kind == "Revive" and not content.meta.get("curves"):
        return "it has no curve"
    return ""


def _stray(folder: Path, manifest: Manifest | None) -> Iterator[Finding]:
    known = {entry.file for entry in (manifest.models if manifest is not None else ())}
    known |= {manifest.records.file} if manifest is not None and manifest.records is not None else set()
    for path in unnamed(folder, known):
        yield Finding(what=path, mark="stray", message="the manifest does not name it; the next build removes it")


def _size(manifest: Manifest | None) -> Iterator[Finding]:
    if manifest is not None and manifest.size > LIMIT:
        said = f"{manifest.size / 1e6:.1f} MB in all; at most {LIMIT / 1e6:g} MB may be bundled"
        yield Finding(what=NAME, mark="WRONG", message=said)
