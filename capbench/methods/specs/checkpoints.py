"""Method specs of the form `checkpoints:DIR`: weights trained elsewhere from a folder that `capbench export` wrote."""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
from pathlib import Path

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import module, sources
from capbench.methods.specs.base import Located, Method, Prefixed, UserFiles

_CODE = "capbench.checkpoints.method"
_MANIFEST = "manifest.json"
_ENDS = (".safetensors", ".safetensors.index.json")


class Checkpoints(Prefixed):
    """`checkpoints:DIR`. Its digest covers the folder's manifest, the tuned weights and the code that loads them."""

    prefix = "checkpoints:"
    form = "checkpoints:DIR"
    users = False

    def find(self, spec: str) -> Located:
        """Hash the folder. Raises UsageError if the spec names none, MethodError if its manifest cannot be read."""
        if spec == self.prefix:
            raise UsageError(f"method {spec!r} names no folder; use {self.form}, where capbench export made DIR")
        folder = self.path(spec).resolve()
        total = hashlib.sha256(sources.digest(module.module_file(spec, _CODE)).encode())
        try:
            total.update(_content(folder / _MANIFEST).encode())
        except OSError as error:
            manifest = str(folder / _MANIFEST)
            raise MethodError(f"method {spec!r}: {manifest!r} cannot be read ({error.strerror or error})") from None
        for file in _weights(folder):
            try:
                found = _content(file)
            except OSError as error:  # costs only the claims that need it
                found = f"cannot be read ({error.errno})"
            total.update(f"{file.relative_to(folder).as_posix()}:{found};".encode())
        return Located(spec=f"{self.prefix}{folder}", digest=total.hexdigest()[:16])

    def load(self, spec: str, name: str) -> Method:
        """The method that looks the tuned weights up."""
        method: Method = importlib.import_module(_CODE).from_folder(self.path(spec))
        return method

    def label(self, spec: str) -> str:
        """The folder's name."""
        return self.prefix + self.path(spec).name

    def files(self, spec: str) -> UserFiles:
        """The manifest, whose hashes are those of the exported files, and the tuned weights."""
        folder = self.path(spec)
        exported = (file for base in _listed(folder / "base") for file in (base, *_listed(base)))
        return UserFiles(files=frozenset({folder / _MANIFEST, *filter(Path.is_file, (*exported, *_weights(folder)))}))


def _weights(folder: Path) -> list[Path]:
    """All that may be weights, or an index of them: in tuned/ and the folders there. Whether they can be read is not asked.

    Beside weights in a folder of their own lies what says how to read them, such as config.json.
    """
    tuned = _listed(folder / "tuned")
    inside = [file for above in tuned for file in _listed(above) if file.name.lower().endswith((*_ENDS, ".json"))]
    return [p for p in (*(file for file in tuned if file.name.lower().endswith(_ENDS)), *inside) if not p.is_dir()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def _content(file: Path) -> str:
    if file.exists() and not file.is_file():  # reading a pipe would wait for ever
        raise OSError(errno.EINVAL, "not a file")
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
