"""Finding a fine-tuning method by name, `pkg.mod:attr` or `path/file.py:attr`; loading it only where it is run."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from capbench.errors import MethodError, UsageError

BUILT_IN = {
    "full": "capbench.methods.finetuning.full:full",
    "frozen-trunk": "capbench.methods.finetuning.frozen_trunk:frozen_trunk",
    "identity": "capbench.methods.finetuning.identity:identity",
    "bitfit": "capbench.methods.finetuning.bitfit:bitfit",
    "lora": "capbench.methods.finetuning.lora:lora",
    "dora": "capbench.methods.finetuning.dora:dora",
    "ia3": "capbench.methods.finetuning.ia3:ia3",
    "last-k": "capbench.methods.finetuning.last_k:last_k",
    "l2-sp": "capbench.methods.finetuning.l2_sp:l2_sp",
    "ewc": "capbench.methods.finetuning.ewc:ewc",
    "replay": "capbench.methods.finetuning.replay:replay",
    "wise-ft": "capbench.methods.finetuning.wise_ft:wise_ft",
    "lp-ft": "capbench.methods.finetuning.lp_ft:lp_ft",
    "gradient-ascent": "capbench.methods.deletion.gradient_ascent:gradient_ascent",
    "grad-diff": "capbench.methods.deletion.grad_diff:grad_diff",
    "npo": "capbench.methods.deletion.npo:npo",
    "simnpo": "capbench.methods.deletion.simnpo:simnpo",
    "rmu": "capbench.methods.deletion.rmu:rmu",
    "randft": "capbench.methods.deletion.randft:randft",
    "wrapper-surgery": "capbench.methods.deletion.wrapper_surgery:wrapper_surgery",
}


@dataclass(frozen=True, kw_only=True)
class MethodRef:
    """A method as data. digest: hash of its source file, so that an edited method is a new one; path: where that file is."""

    spec: str
    digest: str
    arguments: tuple[tuple[str, int | float | bool | str], ...] = ()  # given to the method by name

    @property
    def name(self) -> str:
        """The spec without its directories, and its arguments: what reports call the method."""
        given = ",".join(f"{name}={value}" for name, value in self.arguments)
        return os.path.basename(self.spec) + (f"({given})" if given else "")


def find(spec: str) -> MethodRef:
    """Resolve a spec without running its code.

    Raises UsageError for an unknown built-in name, MethodError for a file or module that cannot be found.
    """
    if ":" not in spec:
        if spec not in BUILT_IN:
            raise UsageError(
                f"unknown method {spec!r}: use a built-in ({', '.join(BUILT_IN)}), pkg.mod:attr or path/file.py:attr"
            )
        return MethodRef(spec=spec, digest=_file_digest(_module_file(spec, BUILT_IN[spec].split(":")[0])))
    where, _, attribute = spec.rpartition(":")
    if not where or not attribute.isidentifier():
        raise UsageError(f"method {spec!r} is not of the form pkg.mod:attr or path/file.py:attr")
    file = Path(where) if where.endswith(".py") else _module_file(spec, where)
    if not file.is_file():
        raise MethodError(f"method {spec!r}: there is no file {where!r} here ({Path.cwd()})")
    if where.endswith(".py"):
        spec = f"{file.resolve()}:{attribute}"  # worker processes must find it wherever they stand
    return MethodRef(spec=spec, digest=_file_digest(file))


def load(ref: MethodRef) -> Callable[..., Any]:
    """Import the method. Raises MethodError, one line, for whatever goes wrong in the user's file."""
    where, _, attribute = BUILT_IN.get(ref.spec, ref.spec).rpartition(":")
    try:
        module = _import_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except (Exception, SystemExit) as error:
        raise MethodError(f"method {ref.name!r} cannot be imported: {one_line(error)}") from error
    method = getattr(module, attribute, None)
    if method is None:
        callables = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise MethodError(
            f"method {ref.name!r}: no {attribute!r} in that file; it has {', '.join(callables) or 'no function'}"
        )
    if not callable(method):
        raise MethodError(f"method {ref.name!r}: {attribute!r} is a {type(method).__name__}, not a function")
    found: Callable[..., Any] = method
    return functools.partial(found, **dict(ref.arguments)) if ref.arguments else found


def one_line(error: BaseException) -> str:
    """An exception as one line: its type, its message, and the last line of the user's own code that it passed through."""
    message = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)] or frames
    where = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {message}{where}"


# Code that a user's exception passes through but that is not where to look.
_NOT_THE_USERS = (
    "<",
    str(Path(__file__).parent.parent),
    *{path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib", "purelib", "platlib")},
)


def _import_file(path: Path) -> ModuleType:
    name = "capbench_method_" + hashlib.sha256(str(path).encode()).hexdigest()[:8]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling look modules up by name
    # Not exec_module: its .pyc is stale for a file that was edited to the same size within a second.
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    return module


def _module_file(spec: str, module: str) -> Path:
    try:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # as `python -m` does, so that pkg.mod next to the user works
        found = importlib.util.find_spec(module)
    except (Exception, SystemExit) as error:  # finding a.b.c runs a and a.b
        raise MethodError(f"method {spec!r}: there is no module {module!r} ({one_line(error)})") from error
    if found is None or found.origin is None:
        raise MethodError(f"method {spec!r}: there is no module {module!r} on the Python path")
    return Path(found.origin)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
