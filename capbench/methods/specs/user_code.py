"""Importing the user's own Python files, and what to say when they fail."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from capbench.errors import MethodError
from capbench.methods.specs import sources
from capbench.reading import EncodingError, check_python
from capbench.store.places import LIBRARIES

# Code in a traceback that is not the user's.
_NOT_THE_USERS = ("<", str(Path(__file__).parents[2]), *LIBRARIES)


def one_line(error: BaseException) -> str:
    """An exception as one line: its type, its message, and the last line of the user's code in its traceback."""
    message = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)] or frames
    where = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {message}{where}"


def make_cwd_importable() -> None:
    """Let modules in the working directory be imported, as `python -m` does."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def import_file(path: Path) -> ModuleType:
    """A user's file as a module; its exceptions propagate."""
    try:
        check_python(path)
    except EncodingError as error:
        raise ImportError(f"{path.name} {error}") from None
    name = "capbench_method_" + hashlib.sha256(str(path).encode()).hexdigest()[:8]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling look modules up by name
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # modules beside it can be imported, as with `python path`
    # Not exec_module: its .pyc is stale if the file was edited to the same size within a second.
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    _check_neighbours(path)
    return module


def attribute_of(module: ModuleType, attribute: str, name: str) -> Callable[..., Any]:
    """A function of a user's module. name: the method's. Raises MethodError if there is none, or it is not callable."""
    method: object = getattr(module, attribute, None)
    if method is None:
        functions = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise MethodError(
            f"method {name!r}: no {attribute!r} in that file; it has {', '.join(functions) or 'no functions'}"
        )
    if not callable(method):
        raise MethodError(f"method {name!r}: {attribute!r} is a {type(method).__name__}, not a function")
    return method


def _check_neighbours(path: Path) -> None:
    """Two folders may each have a `helpers.py`, but only the first one imported is found. Raises ImportError then."""
    for own in sources.files(path) - {path}:
        place = own.parent if own.name == "__init__.py" else own
        if place.parent != path.parent:
            continue
        file = getattr(sys.modules.get(place.stem), "__file__", None) or str(own)
        if Path(file).resolve() != own.resolve() and not file.startswith(_NOT_THE_USERS):
            raise ImportError(f"its {place.name} conflicts with another one ({file}); rename one of them")
