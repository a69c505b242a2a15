"""The version of the code that results depend on: a hash of what its files do, whatever their paths and names.

A file's syntax tree is hashed without docstrings and without its imports of capbench. A name that such an import binds counts
as what it stands for, so that modules can be moved and renamed without losing anything made before.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import capbench

_ROOT = Path(__file__).parent.parent
# What shapes results. Plans, the store, methods (which have a digest each), reports … do not.
_SHAPING = (
    "capbench.configs",
    "capbench.tasks",
    "capbench.models",
    "capbench.training.loop",
    "capbench.measure",
    "capbench.studies",
    "capbench.verdicts",
    "capbench.pipeline.build",
)
# Except what only finds and runs readings, and presets, which enter keys as data.
_IN_NO_RESULT = ("lab", "judge", "registry", "scales", "preset")
_EVERY_TRAINING = ("capbench.training.loop", "capbench.measure.accuracy", "capbench.pipeline.build")
_LIBRARIES = tuple(
    path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def source_digest(source: str) -> str:
    """Hash of what a module does: comments, layout, docstrings and the places of capbench's modules do not count."""
    return _hash(source, _standing_for)


@cache
def file_digest(file: Path) -> str:
    """`source_digest` of a file as it is at the first call: sources may be edited during a run."""
    return source_digest(file.read_text(encoding="utf-8"))


def name_digest(path: str) -> str:
    """What stands in a key for code named `module:attribute`: the attribute, and the hash of what its module does."""
    module, _, attribute = path.partition(":")
    file = source_of(module)
    return f"{attribute}@{module if file is None or not file.is_file() else file_digest(file)}"


@cache
def training_code(modules: frozenset[str]) -> str:
    """Version of everything that shapes a model made with these modules: those of its tasks and its architecture."""
    files = {file for file in map(source_of, modules) if file is not None and (not _ours(file) or _shapes(file))}
    return _digest({*files, *map(_file, _EVERY_TRAINING)})


@cache
def reading_code(files: frozenset[Path]) -> str:
    """Version of everything that shapes a measurement, given the files of its reading and of its study."""
    return _digest({*files, *map(_file, _EVERY_TRAINING)})


def source_of(module: str) -> Path | None:
    """The source file of a module, of capbench or of the user's own; None where it has none (a notebook)."""
    if module.partition(".")[0] == "capbench":
        return _file(module)
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None and module not in sys.modules:
        with suppress(ImportError, ValueError, AttributeError):  # a.b.c where a is not a package
            found = importlib.util.find_spec(module)
            file = found.origin if found is not None and found.has_location else None
    return Path(file) if file else None


def remember_sources() -> None:
    """Take the digests of all sources now, as they may be edited during a run."""
    for part in _SHAPING:
        path = _file(part)
        for file in path.parent.rglob("*.py") if path.name == "__init__.py" else [path]:
            file_digest(file)
            _imported(file)


def _digest(files: set[Path]) -> str:
    """Hash of these files and all that they import, as far as it shapes results: no more, so that a change invalidates little."""
    found: set[Path] = set()
    waiting = set(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting |= _imported(file)
    # A set: a new package adds an __init__.py that does nothing, as others do. The user's files import each other by name.
    named = {f"{'' if _ours(f) or f in files else _module_name(f)}{file_digest(f)}" for f in found}
    return hashlib.sha256(";".join(sorted(named)).encode()).hexdigest()[:16]


def _module_name(file: Path) -> str:
    return f"{file.parent.name if file.name == '__init__.py' else file.stem}:"


@cache
def _imported(file: Path) -> frozenset[Path]:
    """The shaping files of capbench that a file imports, in functions too; of the user's file also the user's own."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {name for node in ast.walk(tree) for name in _names(node)} | _through_the_face(tree)
    files = {_file(name) for name in names if name.startswith("capbench.")}
    found = {f for f in files if f.is_file() and _shapes(f)}
    if not _ours(file):
        found |= _users_imports(tree, file) | {f for f in files if f.is_file() and _is_a_method(f)}
    return frozenset(found)


def _users_imports(tree: ast.AST, file: Path) -> set[Path]:
    """The user's own files that a file of the user's imports, found without importing them: some may not be imported yet."""
    package = file.parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    roots: dict[str, Path | None] = {package.name: package.parent} if (package / "__init__.py").is_file() else {}
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node.level <= len(file.parents):
            start = node.module.split(".") if node.module else []
            for alias in node.names:
                found |= set(_on_the_way(file.parents[node.level - 1], [*start, alias.name]))
        for top, *parts in (name.split(".") for name in _names(node)):
            root = roots[top] = roots[top] if top in roots else _users_root(top)
            found |= set(_on_the_way(root, [top, *parts])) if root else set()
            loaded = getattr(sys.modules.get(".".join([top, *parts])), "__file__", None)
            found |= {Path(loaded)} if loaded and _is_the_users(Path(loaded)) else set()
    return found - {file}


def _users_root(top: str) -> Path | None:
    """The folder in which a module or package of the user's lies; None for libraries and capbench."""
    if top in sys.stdlib_module_names or top == "capbench":
        return None
    place = getattr(sys.modules.get(top), "__file__", None)
    if place is None:
        with suppress(ImportError, ValueError):  # of what has no source
            spec = importlib.util.find_spec(top)
            place = spec.origin if spec is not None and spec.has_location else None
    if place is None or not _is_the_users(Path(place)):
        return None
    return Path(place).parents[1] if Path(place).name == "__init__.py" else Path(place).parent


def _on_the_way(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The files that importing these parts runs; the last may be a name in one."""
    for n in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:n])
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                yield file


def _names(node: ast.AST) -> set[str]:
    """Dotted names that an import statement may bring in."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        named = {f"{node.module}.{alias.name}" for alias in node.names}
        all_public = capbench.PUBLIC.values() if "capbench.*" in named else ()
        return {node.module, *named, *(_defined_in(name) for name in named), *all_public}
    return set()


def _through_the_face(tree: ast.AST) -> set[str]:
    """The modules of public names used as `capbench.name`."""
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    faces = {a.asname or "capbench" for a in imported if a.name == "capbench" or (_is_ours(a.name) and not a.asname)}
    used = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    return {capbench.PUBLIC[n.attr] for n in used if _dotted(n.value) in faces and n.attr in capbench.PUBLIC}


def _defined_in(name: str) -> str:
    """The module of a name; for a name of the public face, the one that defines it."""
    top, _, attribute = name.partition(".")
    return capbench.PUBLIC.get(attribute, name) if top == "capbench" else name


def _shapes(file: Path) -> bool:
    module = ".".join(("capbench", *file.relative_to(_ROOT).with_suffix("").parts))
    if module.startswith("capbench.studies.") and module.rpartition(".")[2] in _IN_NO_RESULT:
        return False
    return any(module == part or module.startswith(f"{part}.") for part in _SHAPING)


def _is_a_method(file: Path) -> bool:
    """Whether this is code of a built-in method, which a reading or a task of the user's may call."""
    return any(file.is_relative_to(_ROOT / "methods" / kind) for kind in ("finetuning", "deletion", "peft"))


def _file(module: str) -> Path:
    """Where a module of capbench is, if it is a module and not a name in one."""
    place = _ROOT.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _ours(file: Path) -> bool:
    return file.is_relative_to(_ROOT)


def _is_the_users(file: Path) -> bool:
    return file.suffix == ".py" and not _ours(file) and not str(file).startswith(_LIBRARIES)


# ---- what a file does

# (name as defined, file of its module) -> what stands for it in the hash
_Stand = Callable[[str, Path], str]


def _hash(source: str, stand: _Stand) -> str:
    tree = ast.parse(source)
    bound = _bound(tree)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    # Other files may take from this one what it imports under another name.
    renamed = {
        alias: of for alias, of in bound.items() if alias not in used and of[0] and (alias != of[0] or alias == "*")
    }
    passed_on = sorted((alias, stand(*of)) for alias, of in renamed.items())
    tree = _Resolved(bound, stand).visit(tree)
    return hashlib.sha256(f"{_dump(tree)}{passed_on or ''}".encode()).hexdigest()[:16]


def _dump(node: object) -> str:
    """`ast.dump` as Python 3.11 has it: later versions add fields and omit empty ones, and keys must not depend on that."""
    if isinstance(node, list):
        return f"[{', '.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: getattr(node, name, None) for name in node._fields}
    absent = {name for name, value in fields.items() if value is None and getattr(type(node), name, ...) is None}
    absent |= {"type_params"} if not fields.get("type_params") else set()
    said = (f"{name}={_dump(value)}" for name, value in fields.items() if name not in absent)
    return f"{type(node).__name__}({', '.join(said)})"


@cache
def _plain_digest(file: Path) -> str:
    """Like `file_digest`, but with the bare names of imports, so that files that import each other can be hashed."""
    return _hash(file.read_text(encoding="utf-8"), lambda name, file: name)


def _standing_for(name: str, file: Path) -> str:
    """The name with what its module does: of two functions of one name it matters which is imported."""
    return f"{name}@{_plain_digest(file)}" if file.is_file() and _ours(file) and _shapes(file) else name


def _bound(tree: ast.AST) -> dict[str, tuple[str, Path]]:
    """What imports of capbench bind, in a file: alias -> (name in its module, that module's file); a module has no name.

    Without those that stand for several things, by place or condition.
    """
    found: dict[str, set[tuple[str, Path]]] = {}
    for node in ast.walk(tree):
        for alias, of in _binds(node):
            found.setdefault(alias, set()).add(of)
    return {alias: next(iter(of)) for alias, of in found.items() if len(of) == 1}


def _binds(node: ast.AST) -> Iterator[tuple[str, tuple[str, Path]]]:
    """What one import of capbench binds, as in `_bound`."""
    if isinstance(node, ast.Import):
        yield from ((a.asname, ("", _file(a.name))) for a in node.names if a.asname and _is_ours(a.name))
    elif isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module or ""):
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            if _file(name).is_file():
                yield alias.asname or alias.name, ("", _file(name))
            else:
                module = _defined_in(name) if node.module == "capbench" else str(node.module)
                yield alias.asname or alias.name, (alias.name, _file(module))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "capbench"


class _Resolved(ast.NodeTransformer):
    """Removes docstrings and imports of capbench, and replaces the names that these bind by what they stand for."""

    def __init__(self, bound: dict[str, tuple[str, Path]], stand: _Stand) -> None:
        self._bound, self._stand = bound, stand

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
        return super().generic_visit(node)

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        ambiguous = self._ambiguous(node)
        node.names = [alias for alias in node.names if not _is_ours(alias.name)]
        return [*([node] if node.names else []), *ambiguous]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        return self._ambiguous(node) if not node.level and _is_ours(node.module or "") else node

    def _ambiguous(self, node: ast.AST) -> list[ast.stmt]:
        """An import that binds a name which others bind to something else stays where it is."""
        names = [ast.alias(self._stand(*of), alias) for alias, of in _binds(node) if alias not in self._bound]
        return [ast.Import(names)] if names else []

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """A parameter hides an import of its name."""
        if node.arg in self._bound:
            node.arg = self._stand(*self._bound[node.arg])
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._bound:
            return node
        name, file = self._bound[node.id]
        return ast.Name(id=self._stand(name, file), ctx=node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`module.name` counts like the name; so does `capbench.package.module.name`."""
        dotted = _dotted(node.value)
        of = self._bound.get(dotted)
        file = of[1] if of is not None and not of[0] else _file(dotted) if _is_ours(dotted) else None
        if file == _file("capbench"):
            file = _file(capbench.PUBLIC[node.attr]) if node.attr in capbench.PUBLIC else None
        if file is not None and (of is not None or file.is_file()):
            return ast.Name(id=self._stand(node.attr, file), ctx=node.ctx)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A string that names code of capbench, as `capbench.models.gpt:Gpt`, counts as what it names."""
        if isinstance(node.value, str) and node.value.startswith("capbench."):
            module, _, attribute = node.value.partition(":")
            if all(part.isidentifier() for part in module.split(".")) and (file := _file(module)).is_file():
                return ast.Constant(value=self._stand(attribute, file))
        return node


def _dotted(node: ast.AST) -> str:
    """`a.b.c` as text; '' for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""
