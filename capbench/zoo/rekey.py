"""New keys for bundled models whose code changed and does the same: shown by short trainings before and after. Imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from capbench.errors import CapbenchError, UsageError
from capbench.store.store import Store
from capbench.zoo.alike import Bundled, described, without_code
from capbench.zoo.bundle import load, with_records, write
from capbench.zoo.manifest import NAME, Entry, Manifest, read
from capbench.zoo.records import Wanted
from capbench.zoo.trace import Trace

_AGAIN = "run capbench zoo build"


def outdated(folder: Path, wanted: Iterable[Bundled]) -> dict[str, Bundled]:
    """The bundled models that the suites ask for under another key now: key in the manifest -> the step as it is now.

    Raises UsageError where there is no good manifest.
    """
    steps = {step.key: step for step in wanted}
    now = {without_code(described(step)): step for step in steps.values()}
    # Two architectures of one name may have equal configurations: a model that is asked for as it is stays so.
    old = (entry for entry in _manifest(folder).models if entry.key not in steps)
    found = ((entry.key, now.get(without_code(entry.config))) for entry in old)
    return {key: step for key, step in found if step is not None}


def rekey(folder: Path, wanted: Iterable[Bundled], *, before: Trace, now: Trace) -> Manifest:
    """Put the models' new keys into the manifest; their weights stay as they are, to the bit.

    before, now: what short trainings of the `outdated` models give by the code that made them and by today's. Curves and readings
    are left out if a model has a new key: theirs are made of it (see `measured_anew`). Raises CapbenchError, and changes nothing,
    unless both are the same of all of these; or if the folder cannot be written.
    """
    manifest, steps = _manifest(folder), outdated(folder, wanted)
    files, entries = {}, []
    for entry in manifest.models:
        _loaded(folder, entry)
        changed = entry
        if (step := steps.get(entry.key)) is not None:
            _prove(entry, without_code(described(step)), before, now)
            made_as = entry.made_as or entry.key
            changed = replace(
                entry, key=step.key, code=step.config["code"], config=described(step), label=step.label, made_as=made_as
            )
        files[changed.file] = (folder / entry.file).read_bytes()
        entries.append(changed)
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


def _loaded(folder: Path, entry: Entry) -> None:
    """Raises CapbenchError if the model's file is not whole."""
    try:
        load(folder, entry)
    except CapbenchError as error:
        raise CapbenchError(f"the file of '{entry.label}' {error}; {_AGAIN}") from None


def _prove(entry: Entry, name: str, before: Trace, now: Trace) -> None:
    """Raises CapbenchError unless the code before and today's train this model alike."""
    for when, trace in (("before", before), ("now", now)):
        if name not in trace.digests:
            raise CapbenchError(
                f"'{entry.label}' is not in the trace of the code {when}, so nothing shows that it is the same"
            )
    if before.digests[name] != now.digests[name]:
        raise CapbenchError(
            f"'{entry.label}' trains otherwise than before: {now.steps} steps give other bits; {_AGAIN}"
        )
