"""Taking bundled base models into a cache, and bundling them: one safetensors file each, and a manifest.

A file holds the weights to the bit and, in its own metadata, what the cache keeps beside them (losses, curves, seconds). What was
measured on models that no method had a part in is in one more file (see records).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench import __version__
from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import FineTune, Revive, Step
from capbench.store.files import remove_drafts, write_whole
from capbench.store.store import BUNDLED, Store
from capbench.zoo import records as measured
from capbench.zoo.alike import Bundled, described
from capbench.zoo.manifest import FOLDER, MODELS, NAME, RECORDS, Entry, Manifest, counted, read
from capbench.zoo.records import Wanted

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

LIMIT = 30_000_000  # bytes of all files together: every install carries them
_META = "capbench"  # the name of our metadata in a safetensors file


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What was put into the cache, by key. tuned: compiled models after the default method.

    warnings: a line per model that could not be, for the curves, or the manifest."""

    models: frozenset[str] = frozenset()
    tuned: frozenset[str] = frozenset()
    curves: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def taken(self) -> frozenset[str]:
        return self.models | self.tuned | self.curves

    def with_(self, more: Filled) -> Filled:
        """Both together."""
        return Filled(
            models=self.models | more.models,
            tuned=self.tuned | more.tuned,
            curves=self.curves | more.curves,
            warnings=self.warnings + more.warnings,
        )

    def __str__(self) -> str:
        """As in '2 base models and 1 curve of a revival'; '' if there is nothing."""
        n, tuned, curves = len(self.models), len(self.tuned), len(self.curves)
        words = [f"{n} base model{'s' * (n > 1)}"] if n else []
        words += [f"{tuned} fine-tuned compiled model{'s' * (tuned > 1)}"] if tuned else []
        words += [counted("Revive", curves)] if curves else []
        return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def fill(store: Store, missing: Iterable[Step], folder: Path | None = None) -> Filled:
    """Put the missing steps' artefacts into the store where they are bundled under the same key (configuration and code).

    folder: that of the manifest (default: the package's `folders`), which is only read. A model that is damaged is left to be
    trained. Raises CapbenchError if the store cannot be written.
    """
    asked = [step for step in missing if isinstance(step, (Bundled, Revive))]
    found = Filled()
    if asked:
        for each in folders() if folder is None else (folder,):
            found = found.with_(_filled(store, asked, each))
    return found


def folders() -> tuple[Path, ...]:
    """The package's: one with what the core claims need, and those within it, each with a manifest of its own."""
    return FOLDER, *sorted(place.parent for place in FOLDER.glob(f"*/{NAME}"))


def _filled(store: Store, asked: Iterable[Step], folder: Path) -> Filled:
    try:
        manifest = read(folder)
    except UsageError as error:
        return Filled(warnings=(f"the models of the package are not used: {error}",))
    if manifest is None:
        return Filled()
    models, warnings = _models(store, asked, folder, manifest)
    curves, more = _curves(store, asked, folder, manifest)
    tuned = {step.key for step in asked if isinstance(step, FineTune)} & models
    return Filled(
        models=frozenset(models - tuned),
        tuned=frozenset(tuned),
        curves=frozenset(curves),
        warnings=(*warnings, *more),
    )


def _models(store: Store, asked: Iterable[Step], folder: Path, manifest: Manifest) -> tuple[set[str], list[str]]:
    entries, taken, warnings = manifest.by_key, set(), []
    for step in asked:
        if not isinstance(step, Bundled) or step.key not in entries:
            continue
        try:
            tensors, meta = load(folder, entries[step.key])
        except CapbenchError as error:
            warnings.append(f"the package's model '{step.label}' {error}: it is trained instead")
            continue
        meta[BUNDLED] = True  # its seconds were measured on another machine
        store.save(step.key, kind=type(step).__name__, config=step.config, tensors=tensors, meta=meta)
        taken.add(step.key)
    return taken, warnings


def _curves(store: Store, asked: Iterable[Step], folder: Path, manifest: Manifest) -> tuple[set[str], list[str]]:
    """Only of steps that keep no weights: what is bundled of a curve could not be loaded as a model."""
    bundled = {key for key, entry in manifest.recorded.items() if entry.kind == "Revive"}
    wanted = [step for step in asked if isinstance(step, Revive) and step.key in bundled]
    if not wanted or manifest.records is None:
        return set(), []
    try:
        found = measured.load(folder, manifest.records)
    except CapbenchError as error:
        return set(), [measured.damaged(manifest.records, error)]
    for step in wanted:
        meta = {**found[step.key].meta, BUNDLED: True}
        store.save(step.key, kind="Revive", config=step.config, tensors={}, meta=meta)
    return {step.key for step in wanted}, []


def keys() -> frozenset[str]:
    """The keys of the package's models and curves, as its manifests have them; none of one that cannot be read."""
    found: set[str] = set()
    for folder in folders():
        try:
            manifest = read(folder)
        except UsageError:
            continue
        if manifest is not None:
            found |= {**manifest.by_key, **manifest.recorded}.keys()
    return frozenset(found)


def shelf() -> measured.Shelf:
    """The package's readings."""
    return measured.Shelf(*folders())


def load(folder: Path, entry: Entry) -> tuple[Tensors, dict[str, Any]]:
    """A bundled model's weights and what is known of its training. Raises CapbenchError, one line that begins with the reason."""
    import safetensors
    import safetensors.torch

    try:
        data = (folder / entry.file).read_bytes()
    except FileNotFoundError:
        raise CapbenchError("is missing") from None
    except OSError as error:
        raise CapbenchError(f"cannot be read ({error.strerror or error})") from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise CapbenchError("is damaged (its SHA-256 differs)")
    try:
        # A safetensors file begins with the length of its header, which is JSON.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        meta = json.loads(header["__metadata__"][_META])
        return safetensors.torch.load(data), dict(meta)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CapbenchError(f"is not a bundled model's file ({' '.join(str(error).split())})") from None


def check_folder(option: str, folder: Path) -> None:
    """Raises UsageError unless models could be written there: into their own folder, or one to be created."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{option}={folder}: that is a file; give a directory")
    above = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{option}={folder}: '{above}' is not writable; give another directory")


def build(
    folder: Path,
    steps: Iterable[Bundled],
    store: Store,
    *,
    scale: str,
    seeds: tuple[int, ...],
    extended: bool,
    pool: bool = False,
    command: str,
    records: Iterable[Wanted] = (),
) -> Manifest:
    """Bundle the models of these steps, and these curves and readings, in place of what is in the folder.

    All must be in the store.

    If it is interrupted, every model that the folder's manifest names is there and whole; leftovers are removed by the next
    build. Raises CapbenchError if the models are too large, or cannot be written.
    """
    files, entries = {}, []
    for step in sorted(steps, key=lambda step: (step.label, step.train.steps, step.key)):
        entry, data = _packed(step, store)
        files[entry.file] = data
        entries.append(entry)
    manifest = Manifest(
        capbench=__version__,
        torch=metadata.version("torch"),
        command=command,
        scale=scale,
        seeds=seeds,
        extended=extended,
        pool=pool,
        models=tuple(entries),
    )
    return write(folder, *with_records(manifest, files, records, store))


def with_records(
    manifest: Manifest, files: Mapping[str, bytes], wanted: Iterable[Wanted], store: Store
) -> tuple[Manifest, dict[str, bytes]]:
    """A manifest and its models' files with these curves and readings from the store. Raises CapbenchError if too large."""
    if every := list(wanted):
        records, data = measured.packed(every, store)
        manifest, files = replace(manifest, records=records), {**files, records.file: data}
    if manifest.size > LIMIT:
        also = f", with {len(every)} curves and readings," if every else ""
        raise CapbenchError(
            f"{len(manifest.models)} models{also} take {manifest.size / 1e6:.1f} MB, more than the {LIMIT / 1e6:g} MB that "
            "may be bundled; give fewer seeds or suites"
        )
    return manifest, dict(files)


def write(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a manifest and the files that it names, by their paths in the folder, in place of those that are there.

    Cut off at any moment, as `build` says. Raises CapbenchError if the folder cannot be written.
    """
    places = [folder, folder / MODELS, folder / RECORDS]
    try:
        for place in places[: 2 if manifest.records is None else 3]:
            place.mkdir(parents=True, exist_ok=True)
        # New content has a new name, so that the models before are whole until the manifest no longer names them.
        for path, data in files.items():
            write_whole(folder / path, data)
        write_whole(folder / NAME, manifest.to_json())
        for path in unnamed(folder, files):
            (folder / path).unlink()
        for place in places:
            remove_drafts(place)
    except OSError as error:
        raise CapbenchError(
            f"'{folder}' cannot be written ({error.strerror or error}); give another directory"
        ) from None
    return manifest


def unnamed(folder: Path, named: Container[str]) -> list[str]:
    """The bundled files in a folder, by their paths there, that are not among these: an interrupted build left them."""
    found = [*(folder / MODELS).glob("*.safetensors"), *(folder / RECORDS).glob("*.json.gz")]
    paths = sorted(file.relative_to(folder).as_posix() for file in found)
    return [path for path in paths if path not in named]


def _packed(step: Bundled, store: Store) -> tuple[Entry, bytes]:
    """A model's entry, and its file."""
    import safetensors.torch

    artefact = store.load(step.key)
    if artefact is None:
        raise CapbenchError(f"no artefact of '{step.label}' in {store.root}")
    meta = {name: value for name, value in artefact.meta.items() if name != BUNDLED}
    data = safetensors.torch.save(dict(artefact.tensors), metadata={_META: json.dumps(meta, sort_keys=True)})
    return Entry(
        key=step.key,
        label=step.label,
        code=step.config["code"],
        config=described(step),
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        accuracies={name: points[-1][1] for name, points in sorted(meta["curves"].items()) if points},
        steps=meta["steps"],
        seconds=round(meta["seconds"], 1),
    ), data
