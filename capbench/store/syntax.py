"""What a file does, as a hash: its syntax tree, whatever the places and names of capbench's modules that it imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import capbench
from capbench.store.places import defined_in, is_ours, module_file, names_ours, shapes

# (name as defined, file of its module) -> what stands for it in the hash
_Stand = Callable[[str, Path], str]


def source_digest(source: str | bytes) -> str:
    """Hash of what a module does: comments, layout, docstrings and the places of capbench's modules do not count."""
    return _hash(source, _standing_for)


_DIGESTS: dict[Path, str] = {}


def file_digest(file: Path) -> str:
    """`source_digest` of a file as it is at the first call: sources may be edited during a run."""
    if file not in _DIGESTS:
        take_digest(file, source_digest(file.read_bytes()))  # Python finds out the encoding, and passes over a mark
    return _DIGESTS[file]


def take_digest(file: Path, digest: str) -> None:
    """Take a file's digest as known, unless it was asked for before."""
    _DIGESTS.setdefault(file, digest)


def _hash(source: str | bytes, stand: _Stand) -> str:
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
    return _hash(file.read_bytes(), lambda name, file: name)


def _standing_for(name: str, file: Path) -> str:
    """The name with what its module does: of two functions of one name it matters which is imported."""
    return f"{name}@{_plain_digest(file)}" if file.is_file() and is_ours(file) and shapes(file) else name


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
        yield from ((a.asname, ("", module_file(a.name))) for a in node.names if a.asname and names_ours(a.name))
    elif isinstance(node, ast.ImportFrom) and not node.level and names_ours(node.module or ""):
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            if module_file(name).is_file():
                yield alias.asname or alias.name, ("", module_file(name))
            else:
                module = defined_in(name) if node.module == "capbench" else str(node.module)
                yield alias.asname or alias.name, (alias.name, module_file(module))


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
        node.names = [alias for alias in node.names if not names_ours(alias.name)]
        return [*([node] if node.names else []), *ambiguous]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        return self._ambiguous(node) if not node.level and names_ours(node.module or "") else node

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
        path = dotted(node.value)
        of = self._bound.get(path)
        file = of[1] if of is not None and not of[0] else module_file(path) if names_ours(path) else None
        if file == module_file("capbench"):
            file = module_file(capbench.PUBLIC[node.attr]) if node.attr in capbench.PUBLIC else None
        if file is not None and (of is not None or file.is_file()):
            return ast.Name(id=self._stand(node.attr, file), ctx=node.ctx)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A string that names code of capbench, as `capbench.models.gpt:Gpt`, counts as what it names."""
        if isinstance(node.value, str) and node.value.startswith("capbench."):
            module, _, attribute = node.value.partition(":")
            if all(part.isidentifier() for part in module.split(".")) and (file := module_file(module)).is_file():
                return ast.Constant(value=self._stand(attribute, file))
        return node


def dotted(node: ast.AST) -> str:
    """An expression `a.b.c` as text; '' for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""
