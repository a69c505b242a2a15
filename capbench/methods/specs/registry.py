"""Finding a fine-tuning method by name, `pkg.mod:attr`, `path/file.py:attr` or `peft:config.json`; loading it where it is run."""

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
    """A method as data. digest: hash of its source, so that an edited method is a new one; called: the name that it was given by,

    where that is not the spec: it is for reports, and not part of what the method is.
    """

    spec: str
    digest: str
    arguments: Arguments = ()  # given to the method by name
    called: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The spec without its directories, and its arguments: what reports call the method."""
        given = ",".join(f"{name}={value}" for name, value in self.arguments)
        return (self.called or _without_folders(self.spec)) + (f"({given})" if given else "")


def find(spec: str, *, arguments: Arguments = (), registered: Mapping[str, str] = _NO_NAMES) -> MethodRef:
    """Resolve a spec without running its code.

    arguments: for the method. registered: names besides the built-in ones and those of installed packages, and their specs.
    Raises UsageError for a name that nobody gave, MethodError for a file or module that cannot be found, and for arguments that
    the method does not take (where its source tells; `load` says so in any case).
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
    """The method of a spec that stands for itself, its file, and its name there (empty where it has none)."""
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
            raise MethodError(f"method {spec!r}: there is no file {where!r} here ({Path.cwd()})")
        return MethodRef(spec=spec, digest=sources.digest(file, where)), file, attribute
    if not Path(where).is_file():
        raise MethodError(f"method {spec!r}: there is no file {where!r} here ({Path.cwd()})")
    file = Path(where).resolve()  # worker processes must find it wherever they stand
    return MethodRef(spec=f"{file}:{attribute}", digest=sources.digest(file)), file, attribute


def _peft(spec: str) -> tuple[MethodRef, Path, str]:
    """An adapter of PEFT: what is hashed is its configuration, and the code that applies it."""
    if not (where := spec.removeprefix(PEFT)):
        raise UsageError(f"method {spec!r} names no file; use peft:path/adapter_config.json")
    file = Path(where)
    file = file / "adapter_config.json" if file.is_dir() else file
    if not file.is_file():
        raise MethodError(f"method {spec!r}: there is no file {str(file)!r} here ({Path.cwd()})")
    try:
        given = json.loads(content := file.read_bytes())
    except ValueError as error:
        raise MethodError(f"method {spec!r}: {file.name} is no JSON ({error})") from None
    if not isinstance(given, dict):
        raise MethodError(f"method {spec!r}: {file.name} holds a {type(given).__name__}, not a JSON object")
    code = sources.digest(_module_file(spec, _ADAPTERS))
    digest = hashlib.sha256(code.encode() + content).hexdigest()[:16]
    return MethodRef(spec=f"{PEFT}{file.resolve()}", digest=digest), file, ""


def _checkpoints(spec: str) -> tuple[MethodRef, Path, str]:
    """Weights that were trained elsewhere: what is hashed is the folder's manifest, the weights, and the code that loads them."""
    if not (where := spec.removeprefix(CHECKPOINTS)):
        raise UsageError(f"method {spec!r} names no folder; use checkpoints:DIR, with a DIR that capbench export made")
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
    file = Path(spec.removeprefix(PEFT))  # mostly of one and the same name, so that its folder tells more
    return PEFT + (f"{file.parent.name}/{file.name}" if file.name == "adapter_config.json" else file.name)


def load(ref: MethodRef) -> Callable[..., Any]:
    """Import the method. Raises MethodError, one line, for whatever goes wrong in the user's file."""
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
            f"method {ref.name!r}: no {attribute!r} in that file; it has {', '.join(callables) or 'no function'}"
        )
    if not callable(method):
        raise MethodError(f"method {ref.name!r}: {attribute!r} is a {type(method).__name__}, not a function")
    return _with_arguments(ref, method)


def _with_arguments(ref: MethodRef, method: Callable[..., Any]) -> Callable[..., Any]:
    if (taken := method_arguments.taken_by(method)) is not None:
        method_arguments.check(ref.called or _without_folders(ref.spec), taken, ref.arguments)
    return functools.partial(method, **dict(ref.arguments)) if ref.arguments else method


def one_line(error: BaseException) -> str:
    """An exception as one line: its type, its message, and the last line of the user's own code that it passed through."""
    message = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)] or frames
    where = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {message}{where}"


# Code that a user's exception passes through but that is not where to look.
_NOT_THE_USERS = ("<", str(Path(__file__).parents[2]), *sources.LIBRARIES)


def import_file(path: Path) -> ModuleType:
    """A user's file as a module; whatever it raises passes through."""
    name = "capbench_method_" + hashlib.sha256(str(path).encode()).hexdigest()[:8]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling look modules up by name
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # its neighbours can be imported, as by `python path`
    # Not exec_module: its .pyc is stale for a file that was edited to the same size within a second.
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    _check_neighbours(path)
    return module


def _check_neighbours(path: Path) -> None:
    """Methods of two folders may each have a `helpers.py`; only the first that is imported is found. Raises ImportError."""
    for own in sources.files(path) - {path}:
        place = own.parent if own.name == "__init__.py" else own
        if place.parent != path.parent:
            continue
        file = getattr(sys.modules.get(place.stem), "__file__", None) or str(own)
        if Path(file).resolve() != own.resolve() and not file.startswith(_NOT_THE_USERS):
            raise ImportError(f"its {place.name} cannot be used beside another one ({file}); rename one of them")


def look_here_too() -> None:
    """Let modules next to the user be imported, as `python -m` does."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _module_file(spec: str, module: str) -> Path:
    try:
        look_here_too()
        found = importlib.util.find_spec(module)
    except (Exception, SystemExit) as error:  # finding a.b.c runs a and a.b
        raise MethodError(f"method {spec!r}: there is no module {module!r} ({one_line(error)})") from error
    if found is None or found.origin is None:
        raise MethodError(f"method {spec!r}: there is no module {module!r} on the Python path")
    return Path(found.origin)
