"""Method specs of the form `peft:path/adapter_config.json`: an adapter of the PEFT library."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import module, sources
from capbench.methods.specs.base import Located, Method, Prefixed, UserFiles
from capbench.reading import EncodingError, read_text

_CODE = "capbench.methods.peft.adapters"
_USUAL = "adapter_config.json"


class Peft(Prefixed):
    """`peft:path/adapter_config.json`, or the folder of that file. Its digest covers the file and the code that applies it."""

    prefix = "peft:"
    form = f"peft:path/{_USUAL}"

    def find(self, spec: str) -> Located:
        """Read the file as JSON. Raises UsageError if the spec names no file, MethodError if it cannot be read."""
        if spec == self.prefix:
            raise UsageError(f"method {spec!r} names no file; use {self.form}")
        file = self.path(spec)
        file = file / _USUAL if file.is_dir() else file
        if not file.is_file():
            raise MethodError(f"method {spec!r}: there is no file {str(file)!r} in {Path.cwd()}")
        try:
            given = json.loads(text := read_text(file))
        except OSError as error:
            raise MethodError(f"method {spec!r}: {file.name} cannot be read ({error.strerror or error})") from None
        except EncodingError as error:
            raise MethodError(f"method {spec!r}: {file.name} {error}") from None
        except ValueError as error:
            raise MethodError(f"method {spec!r}: {file.name} is not JSON ({error})") from None
        if not isinstance(given, dict):
            raise MethodError(f"method {spec!r}: {file.name} holds a {type(given).__name__}, not a JSON object")
        code = sources.digest(module.module_file(spec, _CODE))
        digest = hashlib.sha256((code + text).encode()).hexdigest()[:16]
        return Located(spec=f"{self.prefix}{file.resolve()}", digest=digest)

    def load(self, spec: str, name: str) -> Method:
        """The method that trains the adapter. Imports PEFT."""
        method: Method = importlib.import_module(_CODE).from_config(self.path(spec))
        return method

    def refusal(self, spec: str, model: Callable[[], Any]) -> str:
        """Put the adapter on the model and merge it. Imports PEFT."""
        try:
            importlib.import_module(_CODE).check_config(self.path(spec), model())
        except MethodError as error:
            return str(error)
        return ""

    def label(self, spec: str) -> str:
        """The file's name; nearly always that is adapter_config.json, so then its folder, too."""
        file = self.path(spec)
        return self.prefix + (f"{file.parent.name}/{file.name}" if file.name == _USUAL else file.name)

    def files(self, spec: str) -> UserFiles:
        """The configuration."""
        return UserFiles(files=frozenset({self.path(spec)}))
