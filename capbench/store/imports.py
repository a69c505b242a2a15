"""What the user's own files import, found without importing it: which modules, where they lie, and libraries' versions."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

from capbench.store.places import is_the_users, on_the_way

_BY_NAME = ("import_module", "__import__")
_IN_NO_KEY = {"capbench", "torch"}  # ours is hashed by what it does; torch's version is recorded with each model


@dataclass(frozen=True)
class Near:
    """A folder in which imports are looked up, whatever the path is; only: those of this package, if it is not empty."""

    folder: Path
    only: str = ""


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(number of leading dots, dotted name) of everything imported, also in functions and by a literal name.

    Of `from a import b` both a and a.b: b may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            yield node.level, start
            yield from ((node.level, f"{start}.{alias.name}".lstrip(".")) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called, name = getattr(node.func, "attr", getattr(node.func, "id", "")), node.args[0].value
            if called in _BY_NAME and isinstance(name, str) and name.strip("."):
                yield len(name) - len(name.lstrip(".")), name.lstrip(".")


def users_imports(
    tree: ast.AST, file: Path, *, near: Iterable[Near] = (), own: Path | None = None, loaded: bool = False
) -> dict[Path, Path]:
    """The user's files that a file imports, each with the folder that it is found in by name.

    near: folders to look in first. own: a package that counts wherever it lies. loaded: prefer where a module was imported from
    in this process, as pytest imports from folders that are not on the path. Then come the file's own package, and the path with
    all that extends it (.pth files, editable installs).
    """
    package = package_root(file)
    inside = () if package is None else (Near(package.parent, package.name),)
    found: dict[Path, Path] = {}
    for level, name in names(tree):
        parts = name.split(".") if name else []
        if level:
            if level <= len(file.parents):
                folder = file.parents[level - 1]
                root = folder if package is None else package.parent
                found |= dict.fromkeys((*folder.glob("__init__.py"), *on_the_way(folder, parts)), root)
        elif parts and parts[0] not in {"capbench", *sys.stdlib_module_names}:
            for root in _roots(parts[0], (*near, *inside), loaded=loaded):
                found |= dict.fromkeys(on_the_way(root, parts), root)
            if loaded and (place := getattr(sys.modules.get(name), "__file__", None)):
                found[Path(place)] = Path(place).parent
    counts = {path for path in found if is_the_users(path) or (own is not None and path.is_relative_to(own))}
    return {path: found[path] for path in counts - {file}}


def package_root(file: Path) -> Path | None:
    """The folder of the outermost package that a file is in; None if it is in none."""
    package = file.parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    return package if (package / "__init__.py").is_file() else None


def libraries(files: Iterable[Path]) -> list[str]:
    """The installed distributions that files import, as sorted `name==version`; without torch."""
    tops = {name.partition(".")[0] for file in files for level, name in names(parsed(file)) if not level}
    return sorted(filter(None, map(_distribution, tops - _IN_NO_KEY - sys.stdlib_module_names)))


def _roots(top: str, near: Iterable[Near], *, loaded: bool) -> list[Path]:
    """The folders in which a module or package of the user's lies, several for a namespace package; none for a library."""
    for folder in (n.folder for n in near if n.only in ("", top)):
        if (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file():
            return [folder]
    module = sys.modules.get(top) if loaded else None
    spec = spec_of(top) if module is None else getattr(module, "__spec__", None)
    if place := getattr(module, "__file__", None) or (spec.origin if spec is not None and spec.has_location else None):
        file = Path(place)
        return [file.parents[1] if file.name == "__init__.py" else file.parent] if is_the_users(file) else []
    parts = [Path(part).parent for part in (spec.submodule_search_locations if spec is not None else None) or ()]
    return [*parts, *(n.folder for n in near if n.only in ("", top) and n.folder not in parts)]


def spec_of(module: str) -> ModuleSpec | None:
    """Where Python would find a module, without importing it or the packages that it lies in; None if there is none.

    What this process has imported does not count.
    """
    parts, found, path = module.split("."), None, None
    for n in range(1, len(parts) + 1):
        found = _found(".".join(parts[:n]), path)
        if found is None or (n < len(parts) and found.submodule_search_locations is None):
            return None
        folders = found.submodule_search_locations
        path = list(
            getattr(folders, "_path", folders) or ()
        )  # that of a namespace looks its parent up among what is imported
    return found


def _found(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        with suppress(ImportError, ValueError, AttributeError):  # of what has no source
            if (found := finder.find_spec(name, path)) is not None:
                return found
    return None


def parsed(file: Path) -> ast.AST:
    """The syntax tree of a file, empty if it is not Python."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # loading it will say so
        return ast.Module([], [])


def _distribution(top: str) -> str:
    """`name==version` of the distribution that a module came with; '' if it came with none."""
    with suppress(metadata.PackageNotFoundError):
        return f"{top}=={metadata.version(top)}"
    return ",".join(f"{name}=={metadata.version(name)}" for name in sorted(set(_distributions().get(top, ()))))


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
