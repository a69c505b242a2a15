"""New keys for bundled models whose code changed and whose weights did not: proved by training them again. Imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import Pretrain
from capbench.store.store import BUNDLED, Store
from capbench.zoo.alike import described, without_code
from capbench.zoo.bundle import load, with_records, write
from capbench.zoo.manifest import NAME, Entry, Manifest, read
from capbench.zoo.records import Wanted

_AGAIN = "run capbench zoo build"


def outdated(folder: Path, wanted: Iterable[Pretrain]) -> dict[str, Pretrain]:
    """The bundled models that the suites ask for under another key now: key in the manifest -> the step as it is now.

    Raises UsageError where there is no good manifest.
    """
    steps = {step.key: step for step in wanted}
    now = {without_code(described(step)): step for step in steps.values()}
    # Two architectures of one name may have equal configurations: a model that is asked for as it is stays so.
    old = (entry for entry in _manifest(folder).models if entry.key not in steps)
    found = ((entry.key, now.get(without_code(entry.config))) for entry in old)
    return {key: step for key, step in found if step is not None}


def rekey(folder: Path, wanted: Iterable[Pretrain], store: Store) -> Manifest:
    """Put the models' new keys into the manifest; their weights stay as they are, to the bit.

    store: has each of the `outdated` steps as trained by the code as it is now. Curves and readings are left out if a model has
    a new key: theirs are made of it (see `measured_anew`). Raises CapbenchError, and changes nothing, unless all of these have
    the bundled weights and curves, bit for bit; or if the folder cannot be written.
    """
    manifest, steps = _manifest(folder), outdated(folder, wanted)
    files, entries = {}, []
    for entry in manifest.models:
        tensors, meta = _loaded(folder, entry)
        now = entry
        if (step := steps.get(entry.key)) is not None:
            _prove(entry, step, tensors, meta, store)
            made_as = entry.made_as or entry.key
            now = replace(
                entry, key=step.key, code=step.config["code"], config=described(step), label=step.label, made_as=made_as
            )
        files[now.file] = (folder / entry.file).read_bytes()
        entries.append(now)
    records = None if steps else manifest.records
    if records is not None:
        files[records.file] = (folder / records.file).read_bytes()
    return write(folder, replace(manifest, models=tuple(entries), records=records), files)


def measured_anew(folder: Path, records: Iterable[Wanted], store: Store) -> Manifest:
    """Put these curves and readings, which must be in the store, in place of those in the folder; its models stay.

    Raises CapbenchError, and changes nothing, if a model is damaged, all are too large, or the folder cannot be written.
    """
    manifest = _manifest(folder)
    for entry in manifest.models:
        _loaded(folder, entry)
    files = {entry.file: (folder / entry.file).read_bytes() for entry in manifest.models}
    return write(folder, *with_records(replace(manifest, records=None), files, records, store))


def _manifest(folder: Path) -> Manifest:
    if (found := read(folder)) is None:
        raise UsageError(f"'{folder}' has no {NAME}: there is nothing to rekey; {_AGAIN}")
    return found


def _loaded(folder: Path, entry: Entry) -> tuple[Mapping[str, Any], dict[str, Any]]:
    try:
        return load(folder, entry)
    except CapbenchError as error:
        raise CapbenchError(f"the file of '{entry.label}' {error}; {_AGAIN}") from None


def _prove(entry: Entry, step: Pretrain, tensors: Mapping[str, Any], meta: Mapping[str, Any], store: Store) -> None:
    """Raises CapbenchError unless the step, trained by the code as it is now, gave the bundled model to the bit."""
    artefact = store.load(step.key)
    if artefact is None or artefact.meta.get(BUNDLED):
        raise CapbenchError(f"'{step.label}' was not trained by the code as it is now, so nothing proves its bits")
    if artefact.tensors.keys() != tensors.keys():
        raise CapbenchError(
            f"'{entry.label}' has other weights now: {_difference(artefact.tensors, tensors)}; {_AGAIN}"
        )
    for name, weights in tensors.items():
        again = artefact.tensors[name]
        if weights.dtype != again.dtype or weights.shape != again.shape or not _same_bits(weights, again):
            raise CapbenchError(f"'{entry.label}' trains to other weights now ({name!r} differs); {_AGAIN}")
    if artefact.meta["curves"] != meta["curves"]:
        raise CapbenchError(f"'{entry.label}' trains to the same weights, but its curves differ; {_AGAIN}")


def _difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    name = min(left.keys() ^ right.keys())
    return f"{name!r} is {'new' if name in left else 'gone'}"


def _same_bits(left: Any, right: Any) -> bool:
    """-0.0 is not 0.0, and NaN is itself."""
    return bool(left.contiguous().numpy().tobytes() == right.contiguous().numpy().tobytes())
