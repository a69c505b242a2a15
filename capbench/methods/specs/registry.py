"""Find a fine-tuning method by name, `pkg.mod:attr`, `path/file.py:attr` or `peft:config.json`; load it where it runs."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import arguments as method_arguments
from capbench.methods.specs import names, sources
from capbench.methods.specs.arguments import Arguments

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


PEFT = "peft:"
_ADAPTERS = "capbench.methods.peft.adapters"
CHECKPOINTS = "checkpoints:"
_CHECKPOINTS = "capbench.checkpoints.method"
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class MethodRef:
    """A method as data.

    digest: hash of its source, so an edited method is a new one. called: the name the user gave, if it is not the spec; only
    for reports, not part of the method's identity.
    """

    spec: str
    digest: str
    arguments: Arguments = ()  # given to the method by name
    called: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The spec without directories, plus its arguments: the name in reports."""
        given = ",".join(f"{name}={value}" for name, value in self.arguments)
        return (self.called or _without_folders(self.spec)) + (f"({given})" if given else "")


def find(spec: str, *, arguments: Arguments = (), registered: Mapping[str, str] = _NO_NAMES) -> MethodRef:
    """Resolve a spec without running its code.

    arguments: for the method. registered: name -> spec, besides built-in methods and those of installed packages.
    Raises UsageError for an unknown name, MethodError for a file or module that cannot be found and for arguments that the method
    does not take (if its source shows it; `load` always checks).
    """
    target = spec if ":" in spec else names.stands_for(spec, BUILT_IN, registered)
    try:
        ref, file, attribute = _located(target)
    except (MethodError, UsageError) as error:
        raise error if target == spec else type(error)(f"method {spec!r}: {error}") from None
    ref = replace(ref, arguments=tuple(sorted(arguments)), called="" if target == spec else spec)
    taken = method_arguments.taken_in(file, attribute) if attribute else None
    if taken is not None:
        method_arguments.check(ref.called or _without_folders(ref.spec), taken, ref.arguments)
    return ref


def _located(spec: str) -> tuple[MethodRef, Path, str]:
    """The method of a spec that is not a name, its file, and its attribute there (empty if none)."""
    if spec.startswith(PEFT):
        return _peft(spec)
    if spec.startswith(CHECKPOINTS):
        return _checkpoints(spec)
    where, _, attribute = BUILT_IN.get(spec, spec).rpartition(":")
    if not where or not attribute.isidentifier():
        raise UsageError(f"method {spec!r} is not of the form pkg.mod:attr or path/file.py:attr")
    if not where.endswith(".py"):
        file = _module_file(spec, where)
        if not file.is_file():
            raise MethodError(f"method {spec!r}: there is no file {where!r} in {Path.cwd()}")
        return MethodRef(spec=spec, digest=sources.digest(file, where)), file, attribute
    if not Path(where).is_file():
        raise MethodError(f"method {spec!r}: there is no file {where!r} in {Path.cwd()}")
    file = Path(where).resolve()  # worker processes may have another working directory
    return MethodRef(spec=f"{file}:{attribute}", digest=sources.digest(file)), file, attribute


def _peft(spec: str) -> tuple[MethodRef, Path, str]:
    """A PEFT adapter; the digest covers its configuration and the code that applies it."""
    if not (where := spec.removeprefix(PEFT)):
        raise UsageError(f"method {spec!r} names no file; use peft:path/adapter_config.json")
    file = Path(where)
    file = file / "adapter_config.json" if file.is_dir() else file
    if not file.is_file():
        raise MethodError(f"method {spec!r}: there is no file {str(file)!r} in {Path.cwd()}")
    try:
        given = json.loads(content := file.read_bytes())
    except ValueError as error:
        raise MethodError(f"method {spec!r}: {file.name} is not JSON ({error})") from None
    if not isinstance(given, dict):
        raise MethodError(f"method {spec!r}: {file.name} holds a {type(given).__name__}, not a JSON object")
    code = sources.digest(_module_file(spec, _ADAPTERS))
    digest = hashlib.sha256(code.encode() + content).hexdigest()[:16]
    return MethodRef(spec=f"{PEFT}{file.resolve()}", digest=digest), file, ""


def _checkpoints(spec: str) -> tuple[MethodRef, Path, str]:
    """Weights trained elsewhere; the digest covers the folder's manifest, the weights, and the code that loads them."""
    if not (where := spec.removeprefix(CHECKPOINTS)):
        raise UsageError(f"method {spec!r} names no folder; use checkpoints:DIR, where capbench export made DIR")
    folder = Path(where).resolve()
    total = hashlib.sha256(sources.digest(_module_file(spec, _CHECKPOINTS)).encode())
    try:
        for file in (folder / "manifest.json", *sorted((folder / "tuned").glob("*.safetensors"))):
            with file.open("rb") as content:
                total.update(f"{file.name}:{hashlib.file_digest(content, 'sha256').hexdigest()};".encode())
    except OSError as error:
        raise MethodError(f"method {spec!r}: {str(file)!r} cannot be read ({error.strerror or error})") from None
    return MethodRef(spec=f"{CHECKPOINTS}{folder}", digest=total.hexdigest()[:16]), folder, ""


def _without_folders(spec: str) -> str:
    if spec.startswith(CHECKPOINTS):
        return CHECKPOINTS + Path(spec.removeprefix(CHECKPOINTS)).name
    if not spec.startswith(PEFT):
        return os.path.basename(spec)
    file = Path(spec.removeprefix(PEFT))  # nearly always adapter_config.json, so show its folder, too
    return PEFT + (f"{file.parent.name}/{file.name}" if file.name == "adapter_config.json" else file.name)


def load(ref: MethodRef) -> Callable[..., Any]:
    """Import the method. Raises MethodError, one line, for any error in the user's file."""
    where, _, attribute = BUILT_IN.get(ref.spec, ref.spec).rpartition(":")
    try:
        if ref.spec.startswith(PEFT):
            adapters = importlib.import_module(_ADAPTERS)
            return _with_arguments(ref, adapters.from_config(Path(ref.spec.removeprefix(PEFT))))
        if ref.spec.startswith(CHECKPOINTS):
            checkpoints = importlib.import_module(_CHECKPOINTS)
            return _with_arguments(ref, checkpoints.from_folder(Path(ref.spec.removeprefix(CHECKPOINTS))))
        module = import_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except MethodError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"method {ref.name!r} cannot be imported: {one_line(error)}") from error
    method = getattr(module, attribute, None)
    if method is None:
        callables = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise MethodError(
            f"method {ref.name!r}: no {attribute!r} in that file; it has {', '.join(callables) or 'no functions'}"
        )
    if not callable(method):
        raise MethodError(f"method {ref.name!r}: {attribute!r} is a {type(method).__name__}, not a function")
    return _with_arguments(ref, method)


def _with_arguments(ref: MethodRef, method: Callable[..., Any]) -> Callable[..., Any]:
    if (taken := method_arguments.taken_by(method)) is not None:
        method_arguments.check(ref.called or _without_folders(ref.spec), taken, ref.arguments)
    return functools.partial(method, **dict(ref.arguments)) if ref.arguments else method


def one_line(error: BaseException) -> str:
    """An exception as one line: its type, its message, and the last line of the user's code in its traceback."""
    message = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)] or frames
    where = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {message}{where}"


# Code in a traceback that is not the user's.
_NOT_THE_USERS = ("<", str(Path(__file__).parents[2]), *sources.LIBRARIES)


def import_file(path: Path) -> ModuleType:
    """A user's file as a module; its exceptions propagate."""
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


def _check_neighbours(path: Path) -> None:
    """Two folders may each have a `helpers.py`, but only the first one imported is found. Raises ImportError then."""
    for own in sources.files(path) - {path}:
        place = own.parent if own.name == "__init__.py" else own
        if place.parent != path.parent:
            continue
        file = getattr(sys.modules.get(place.stem), "__file__", None) or str(own)
        if Path(file).resolve() != own.resolve() and not file.startswith(_NOT_THE_USERS):
            raise ImportError(f"its {place.name} conflicts with another one ({file}); rename one of them")


def look_here_too() -> None:
    """Make modules in the working directory importable, as `python -m` does."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _module_file(spec: str, module: str) -> Path:
    try:
        look_here_too()
        found = importlib.util.find_spec(module)
    except (Exception, SystemExit) as error:  # finding a.b.c imports a and a.b
        raise MethodError(f"method {spec!r}: there is no module {module!r} ({one_line(error)})") from error
    if found is None or found.origin is None:
        raise MethodError(f"method {spec!r}: there is no module {module!r} on the Python path")
    return Path(found.origin)
