"""Taking bundled base models into a cache, and bundling them: one safetensors file each, and a manifest.

A file holds the weights to the bit and, in its own metadata, what the cache keeps beside them (losses, curves, seconds).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench import __version__
from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.steps import Pretrain, Step
from capbench.store.files import remove_drafts, write_whole
from capbench.store.store import BUNDLED, Store
from capbench.zoo.manifest import FOLDER, MODELS, NAME, Entry, Manifest, read

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

LIMIT = 30_000_000  # bytes of all files together: every install carries them
_META = "capbench"  # the name of our metadata in a safetensors file


@dataclass(frozen=True, kw_only=True)
class Filled:
    """taken: keys of the models put into the cache. warnings: a line per model that could not be, or for the manifest."""

    taken: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def fill(store: Store, missing: Iterable[Step], folder: Path | None = None) -> Filled:
    """Put the missing steps' artefacts into the store where they are bundled under the same key (configuration and code).

    folder: that of the manifest (default: the package's), which is only read. A model that is damaged is left to be trained.
    Raises CapbenchError if the store cannot be written.
    """
    asked = [step for step in missing if isinstance(step, Pretrain)]
    if not asked:
        return Filled()
    folder = FOLDER if folder is None else folder
    try:
        manifest = read(folder)
    except UsageError as error:
        return Filled(warnings=(f"the base models of the package are not used: {error}",))
    entries = {} if manifest is None else manifest.by_key
    taken, warnings = set(), []
    for step in asked:
        if step.key not in entries:
            continue
        try:
            tensors, meta = load(folder, entries[step.key])
        except CapbenchError as error:
            warnings.append(f"the package's model '{step.label}' {error}: it is trained instead")
            continue
        meta[BUNDLED] = True  # its seconds were measured on another machine
        store.save(step.key, kind=type(step).__name__, config=step.config, tensors=tensors, meta=meta)
        taken.add(step.key)
    return Filled(taken=frozenset(taken), warnings=tuple(warnings))


def keys() -> frozenset[str]:
    """The keys of the package's models, as its manifest has them; none where that cannot be read."""
    try:
        manifest = read(FOLDER)
    except UsageError:
        return frozenset()
    return frozenset(() if manifest is None else manifest.by_key)


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
    steps: Iterable[Pretrain],
    store: Store,
    *,
    scale: str,
    seeds: tuple[int, ...],
    extended: bool,
    command: str,
) -> Manifest:
    """Bundle the models of these steps, which must be in the store, in place of those in the folder.

    If it is interrupted, every model that the folder's manifest names is there and whole; leftovers are removed by the next
    build. Raises CapbenchError if the models are too large, or cannot be written.
    """
    files, entries = {}, []
    for step in sorted(steps, key=lambda step: (step.label, step.train.steps, step.key)):
        entry, data = _packed(step, store)
        files[entry.file] = data
        entries.append(entry)
    size = sum(map(len, files.values()))
    if size > LIMIT:
        raise CapbenchError(
            f"{len(files)} base models take {size / 1e6:.1f} MB, more than the {LIMIT / 1e6:g} MB that may be bundled; "
            "give fewer seeds or suites"
        )
    manifest = Manifest(
        capbench=__version__,
        torch=metadata.version("torch"),
        command=command,
        scale=scale,
        seeds=seeds,
        extended=extended,
        models=tuple(entries),
    )
    write(folder, manifest, files)
    return manifest


def write(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write a manifest and the files of its models, by their paths in the folder, in place of those that are there.

    Cut off at any moment, as `build` says. Raises CapbenchError if the folder cannot be written.
    """
    try:
        (folder / MODELS).mkdir(parents=True, exist_ok=True)
        # New content has a new name, so that the models before are whole until the manifest no longer names them.
        for path, data in files.items():
            write_whole(folder / path, data)
        write_whole(folder / NAME, manifest.to_json())
        for file in (folder / MODELS).glob("*.safetensors"):
            if f"{MODELS}/{file.name}" not in files:
                file.unlink()
        for place in (folder, folder / MODELS):
            remove_drafts(place)
    except OSError as error:
        raise CapbenchError(
            f"'{folder}' cannot be written ({error.strerror or error}); give another directory"
        ) from None


def described(step: Pretrain) -> dict[str, Any]:
    """A step's configuration, with that of its start written out in place of the start's key."""
    return {**step.config, "start": step.start.config}


def _packed(step: Pretrain, store: Store) -> tuple[Entry, bytes]:
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
