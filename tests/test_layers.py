"""The order of the modules: imports point one way, and what needs no torch does not import it."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import capbench

ROOT = Path(capbench.__file__).parent

# Bottom first; a module imports only from its own layer and those before it. A name stands for a module or a package.
LAYERS = (
    ("capbench", "errors", "results", "configs", "reading"),
    ("tasks", "store", "verdicts"),
    ("models",),
    ("training",),
    ("methods", "measure", "report", "expectations"),
    ("pipeline", "compare"),
    ("studies", "checkpoints", "zoo"),
    ("variants", "check"),
    ("fidelity", "mapping", "session"),
    ("plugin", "cli"),
)
# Within one layer, modules of different names know nothing of each other, but for these.
BESIDE = {
    ("configs", "errors"),
    ("methods", "measure"),
    ("fidelity", "session"),
    ("mapping", "session"),
    ("cli", "plugin"),
}
# What each may use at most, where the order alone would allow more.
ONLY = {
    "measure": {"measure", "models", "tasks", "training", "results", "errors", "configs"},
    "report": {"report", "verdicts", "results", "errors", "store", "reading"},
    "verdicts": {"verdicts", "results", "errors"},
    "expectations": {"expectations", "results", "errors", "reading"},
    "store": {"store", "errors", "capbench", "reading"},
    "compare": {"compare", "report", "verdicts", "results", "errors", "store", "reading"},
    "tasks": {"tasks", "errors", "reading"},
}
STANDARD_LIBRARY_ONLY = ("results", "errors", "configs", "reading")
HEAVY = {"torch", "jax", "ray", "haiku", "tracr", "safetensors", "transformers"}


@cache
def imports(source: str, *, at_import: bool = False) -> set[str]:
    """Dotted names that a module imports, anywhere; at_import=True: only what is imported when it is itself imported."""

    def visit(node: ast.AST) -> set[str]:
        if isinstance(node, ast.Import):
            return {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "relative imports are not used here"
            return {f"{node.module}.{alias.name}" for alias in node.names}
        skipped = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        )
        if at_import and skipped:
            return set()
        return set().union(*map(visit, ast.iter_child_nodes(node)))

    return visit(ast.parse(source))


SOURCES = {
    ".".join(("capbench", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file.read_text()
    for file in ROOT.rglob("*.py")
}


def own(names: set[str]) -> set[str]:
    """Those modules of capbench that these dotted names lead to, `capbench.x.attribute` being module `capbench.x`."""
    return {name if name in SOURCES else name.rpartition(".")[0] for name in names if name.split(".")[0] == "capbench"}


def layer_name(module: str) -> str:
    """The name by which LAYERS knows a module: its first below capbench."""
    return module.split(".")[1] if "." in module else module


def reached(module: str) -> set[str]:
    """All modules that importing one brings in, packages on the way included, itself too."""
    found, waiting = set(), {module}
    while waiting:
        here = waiting.pop()
        if here in SOURCES and here not in found:
            found.add(here)
            waiting |= own(imports(SOURCES[here], at_import=True)) | {here.rpartition(".")[0]}
    return found


def test_the_reader_of_imports_sees_all_forms() -> None:
    source = """
import a.b, c
from d import e
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import f
try:
    import g
except ImportError:
    from h import i as j
class K:
    import k
    def method(self):
        import l
"""
    eager = {"a.b", "c", "d.e", "typing.TYPE_CHECKING", "g", "h.i", "k"}
    assert imports(source) == eager | {"f", "l"} and imports(source, at_import=True) == eager


def test_there_are_modules_to_look_at() -> None:
    assert len(SOURCES) > 20 and {"capbench", "capbench.report", "capbench.pipeline.plan"} <= SOURCES.keys()


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_one_way(module: str) -> None:
    if module == "capbench":  # the public face knows all, for a type checker only
        assert own(imports(SOURCES[module], at_import=True)) == set()
        return
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    name = layer_name(module)
    assert name in level, f"{module}: give {name!r} a place in LAYERS"
    for used in {layer_name(m) for m in own(imports(SOURCES[module]))} - {name}:
        assert used in level, f"{module} imports {used}, which has no place in LAYERS"
        lower = level[used] < level[name] or (name, used) in BESIDE
        assert lower, f"{module} imports {used}, which is not below {name}"


@pytest.mark.parametrize("name", ONLY)
def test_what_should_know_little_knows_no_more(name: str) -> None:
    modules = [m for m in SOURCES if layer_name(m) == name]
    assert modules
    for module in modules:
        used = {layer_name(m) for m in own(imports(SOURCES[module]))}
        assert used <= ONLY[name], f"{module} imports {used - ONLY[name]}"


def test_measurements_know_neither_the_pipeline_nor_the_store() -> None:
    modules = [m for m in SOURCES if layer_name(m) == "measure"]
    assert len(modules) > 1
    for module in modules:
        forbidden = {m for m in reached(module) if layer_name(m) in ("pipeline", "store")}
        assert not forbidden, f"{module} leads to {forbidden}"


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_results_need_the_standard_library_only(name: str) -> None:
    used = {m.split(".")[0] for m in imports(SOURCES[f"capbench.{name}"])}
    assert used <= sys.stdlib_module_names | {"capbench"}, used


def test_no_module_of_the_report_leads_to_torch() -> None:
    """Not even in a function: a report is made where torch is not installed."""
    modules = [m for m in SOURCES if layer_name(m) in ("report", "compare")]
    assert {layer_name(m) for m in modules} == {"report", "compare"}
    for module in modules:
        for reachable in reached(module):
            heavy = {m.split(".")[0] for m in imports(SOURCES[reachable])} & HEAVY
            assert not heavy, f"{module} leads to {reachable}, which imports {heavy}"


def test_only_the_plugin_knows_pytest() -> None:
    users = {m for m in SOURCES if any(i.split(".")[0] in ("pytest", "_pytest") for i in imports(SOURCES[m]))}
    assert users and {layer_name(m) for m in users} == {"plugin"}


def test_only_compiling_knows_jax() -> None:
    """And nothing imports it, or tracr, before something is compiled: a compiled model needs neither."""

    def users(libraries: set[str], **how: bool) -> set[str]:
        return {m for m in SOURCES if {i.split(".")[0] for i in imports(SOURCES[m], **how)} & libraries}

    compiling = {"capbench.models.tracr.assembling", "capbench.models.tracr.compiling"}
    assert users({"jax", "haiku"}) == compiling
    assert users({"tracr"}) == compiling | {
        "capbench.models.tracr.arguments",
        "capbench.models.tracr.checking",
        "capbench.tasks.tracr.programs",
        "capbench.tasks.rasp",  # for a type only
        "capbench.tasks.rasp.running",
        "capbench.tasks.tracr.tasks",  # for a type only
    }
    assert users({"jax", "haiku", "tracr"}, at_import=True) == set()


def test_hypothesis_is_imported_by_what_draws_variants_only() -> None:
    """So that a run without variants does not load it."""
    users = {m for m in SOURCES if any(i.split(".")[0] == "hypothesis" for i in imports(SOURCES[m], at_import=True))}
    assert users and {layer_name(m) for m in users} <= {"variants"}, users
    assert not users & (
        reached("capbench.plugin.plugin") | reached("capbench.session.run") | reached("capbench.cli.main")
    )


LIGHT = (
    "results report studies.scales studies.pcfg.readings studies.tracr.readings studies.registry studies.lab studies.judge "
    "session.run pipeline.plan plugin.plugin fidelity.show cli.main compare.show compare.leaderboard compare.baseline "
    "variants.strategies variants.judging studies.pcfg.own_file"
)


def test_planning_and_reporting_import_no_torch() -> None:
    modules = ", ".join(f"capbench.{name}" for name in LIGHT.split())
    program = f"import sys, {modules}; print(*sorted({{m.split('.')[0] for m in sys.modules}} & {HEAVY!r}))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\n", "")
