"""Method specs of the form `checkpoints:DIR`: weights trained elsewhere from a folder that `capbench export` wrote."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import module, sources
from capbench.methods.specs.base import Located, Method, Prefixed, UserFiles

_CODE = "capbench.checkpoints.method"


class Checkpoints(Prefixed):
    """`checkpoints:DIR`. Its digest covers the folder's manifest, the tuned weights and the code that loads them."""

    prefix = "checkpoints:"
    form = "checkpoints:DIR"

    def find(self, spec: str) -> Located:
        """Hash the folder. Raises UsageError if the spec names none, MethodError if a file cannot be read."""
        if spec == self.prefix:
            raise UsageError(f"method {spec!r} names no folder; use {self.form}, where capbench export made DIR")
        folder = self.path(spec).resolve()
        total = hashlib.sha256(sources.digest(module.module_file(spec, _CODE)).encode())
        try:
            for file in _files(folder):
                with file.open("rb") as content:
                    total.update(f"{file.name}:{hashlib.file_digest(content, 'sha256').hexdigest()};".encode())
        except OSError as error:
            raise MethodError(f"method {spec!r}: {str(file)!r} cannot be read ({error.strerror or error})") from None
        return Located(spec=f"{self.prefix}{folder}", digest=total.hexdigest()[:16])

    def load(self, spec: str, name: str) -> Method:
        """The method that looks the tuned weights up."""
        method: Method = importlib.import_module(_CODE).from_folder(self.path(spec))
        return method

    def label(self, spec: str) -> str:
        """The folder's name."""
        return self.prefix + self.path(spec).name

    def files(self, spec: str) -> UserFiles:
        """The manifest and the tuned weights."""
        return UserFiles(files=frozenset(_files(self.path(spec))))


def _files(folder: Path) -> list[Path]:
    return [folder / "manifest.json", *sorted((folder / "tuned").glob("*.safetensors"))]
