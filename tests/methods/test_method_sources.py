"""The version of a method: its own file and the user's modules that it imports, no others, and nothing is run to find out."""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import site
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from tiny_study import tuned

from capbench import PUBLIC
from capbench.errors import MethodError
from capbench.methods.specs import sources
from capbench.methods.specs.built_in import BUILT_IN
from capbench.methods.specs.registry import find, load
from capbench.methods.specs.schemes import scheme_of
from capbench.pipeline.executors.on_ray import sources as on_ray
from capbench.pipeline.steps import FineTune
from capbench.store.imports import libraries
from capbench.store.syntax import file_digest

METHODS = Path(sources.__file__).parents[1]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in [n for n in sys.modules if n not in before and n.startswith(("capbench_method_", "capbench_test"))]:
        del sys.modules[name]


def write(**files: str) -> None:
    """`a__b="…"` writes a/b.py, and makes no package of a."""
    for name, source in files.items():
        file = (
            Path(*name.split("__")).with_suffix(".py")
            if not name.endswith("__")
            else Path(*name[:-2].split("__"), "__init__.py")
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)


def found(file: str, module: str = "") -> set[str]:
    here = Path.cwd()
    return {f.relative_to(here).as_posix() for f in sources.files((here / file).resolve(), module)}


def test_without_imports_of_ones_own_the_version_hangs_on_the_file_alone() -> None:
    source = "import torch, json\nfrom capbench.training.loop import fit\ndef tune(model, task, config): return model\n"
    write(mine=source, json="1", unrelated="1")
    before = find("mine.py:tune").digest
    write(json="2", unrelated="2")
    assert find("mine.py:tune").digest == before
    write(mine=source + "# the user's files count byte by byte\n")
    assert find("mine.py:tune").digest != before


@pytest.mark.parametrize("name", ["full", "frozen-trunk", "identity"])
def test_a_built_in_method_that_shares_nothing_is_known_by_what_its_file_does(name: str) -> None:
    file = METHODS / "finetuning" / f"{name.replace('-', '_')}.py"
    assert find(name).digest == hashlib.sha256(file_digest(file).encode()).hexdigest()[:16]


def test_a_method_that_uses_the_public_face_hangs_on_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PUBLIC, "accuracy", "capbench.measure.accuracy")
    write(mine="from capbench import accuracy, fit\n", deep="from capbench.measure.accuracy import accuracy\n")
    assert sources.files(Path("mine.py").resolve()) - {Path("mine.py").resolve()} == sources.files(
        Path("deep.py").resolve()
    ) - {Path("deep.py").resolve()}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_method_hangs_on_files_of_methods_and_measurements_only(name: str) -> None:
    module = BUILT_IN[name].split(":")[0]
    file = METHODS.parent.parent.joinpath(*module.split(".")).with_suffix(".py")
    others = sources.files(file, module) - {file}
    assert all(other.parent.name == "measure" or other.is_relative_to(METHODS) for other in others)
    assert not {other.name for other in others} & {"registry.py", "base.py", "sources.py", "names.py", "__init__.py"}


def test_methods_that_share_a_file_of_capbench_hang_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "capbench"
    monkeypatch.setattr(sources, "_CAPBENCH", package)
    monkeypatch.setattr(sources, "_METHODS", package / "methods")
    write(
        capbench__methods__shared="import capbench.training.loop\n",
        capbench__training="",
        capbench__methods__specs__registry="",
        capbench__methods__one="from capbench.methods.shared import x\nfrom capbench.methods.specs import registry\n",
        mine="def tune(m, t, c):\n    from capbench.methods import one\n",
    )
    shared = {"capbench/methods/one.py", "capbench/methods/shared.py"}
    assert found("capbench/methods/one.py", "capbench.methods.one") == shared
    assert found("mine.py") == {"mine.py", *shared}


def test_neighbours_count_directly_or_not_wherever_they_are_imported() -> None:
    write(
        mine="import helper\nimport json\ntry:\n    import maybe\nexcept ImportError: pass\nimport lib.deep\n",
        helper="def f():\n    from further import x\n",
        further="import mine\nimport helper\n",  # a circle
        maybe="",
        lib__="",
        lib__deep="from . import beside\nfrom .low import value\nfrom .. import nothing\n",
        lib__beside="",
        lib__low="",
        lib__unused="",
        json="",
        unused="",
    )
    expected = "mine helper further maybe lib/__init__ lib/deep lib/beside lib/low"
    assert found("mine.py") == {f"{name}.py" for name in expected.split()}


def test_a_module_counts_its_package_and_not_what_lies_beside_the_package() -> None:
    write(
        pkg__="",
        pkg__mine="from pkg.sub import helper\nfrom . import near\nimport beside\n",
        pkg__sub__helper="from .. import far\n",
        pkg__near="",
        pkg__far="",
        pkg__unused="",
        beside="",
    )
    expected = {f"pkg/{name}.py" for name in ("mine", "__init__", "sub/helper", "near", "far")}
    assert found("pkg/mine.py", "pkg.mine") == expected


def test_a_file_in_a_package_counts_that_package_too() -> None:
    write(pkg__="", pkg__mine="import pkg.helper\nimport near\n", pkg__helper="", pkg__near="")
    assert found("pkg/mine.py") == {"pkg/mine.py", "pkg/__init__.py", "pkg/helper.py", "pkg/near.py"}


def test_installed_modules_do_not_count_what_is_installed_beside_them() -> None:
    write(**{"site-packages__mine": "import numpy\n", "site-packages__numpy": ""})
    assert found("site-packages/mine.py", "mine") == {"site-packages/mine.py"}


@pytest.mark.parametrize("helper", ["def (:\n", "\0", "x = 1\n"])
def test_an_edited_neighbour_is_another_method_and_none_is_run(helper: str) -> None:
    write(mine="open('ran', 'w').close()\nimport helper\ndef tune(m, t, c): return 1\n", helper="1\n", unused="1\n")
    before = find("mine.py:tune")
    write(unused="2\n")
    assert find("mine.py:tune") == before
    write(helper=helper)
    after = find("mine.py:tune")
    assert after.digest != before.digest and after.spec == before.spec
    write(helper="1\n")
    assert find("mine.py:tune") == before and not Path("ran").exists()


def test_the_version_does_not_hang_on_where_the_folder_is() -> None:
    for place in ("one", "two/deeper"):
        Path(place).mkdir(parents=True)
        Path(place, "mine.py").write_text("import helper\ndef tune(m, t, c): return 1\n")
        Path(place, "helper.py").write_text("1\n")
    assert find("one/mine.py:tune").digest == find("two/deeper/mine.py:tune").digest


def test_which_file_holds_what_matters() -> None:
    write(mine="import capbench_test_a, capbench_test_b\n", capbench_test_a="1\n", capbench_test_b="2\n")
    before = find("mine.py:tune").digest
    write(capbench_test_a="2\n", capbench_test_b="1\n")
    assert find("mine.py:tune").digest != before


def test_a_file_may_import_its_neighbours_wherever_it_is_run_from() -> None:
    source = "from capbench_test_near import value\ndef tune(m, t, c): return value\n"
    write(sub__mine=source, sub__capbench_test_near="value = 6\n")
    assert load(find("sub/mine.py:tune"))(None, None, None) == 6


def test_a_neighbour_that_python_would_take_from_another_folder_is_refused() -> None:
    source = "from capbench_test_same import value\ndef tune(m, t, c): return value\n"
    write(
        one__mine=source, one__capbench_test_same="value = 1\n", two__mine=source, two__capbench_test_same="value = 2\n"
    )
    assert load(find("one/mine.py:tune"))(None, None, None) == 1
    with pytest.raises(MethodError, match=r"its capbench_test_same\.py conflicts with another one") as error:
        load(find("two/mine.py:tune"))
    assert "\n" not in str(error.value)


# ---- what lies elsewhere


class Finder(importlib.abc.MetaPathFinder):
    """As an editable install has it: a name stands for a folder that is on no path."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        place = Path.cwd().resolve() / "elsewhere" / f"{name}.py"
        return importlib.util.spec_from_file_location(name, place) if place.is_file() else None


def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path("elsewhere").resolve()), *sys.path])


def by_pth(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("site-packages").mkdir()
    Path("site-packages/mine.pth").write_text(f"{Path('elsewhere').resolve()}\n")
    site.addsitedir("site-packages")


def editable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])


@pytest.mark.parametrize("way", [on_path, by_pth, editable])
@pytest.mark.parametrize(
    "importing",
    [
        "import capbench_test_lib",
        "from capbench_test_lib import X as Y",
        "def tune(m, t, c):\n    import capbench_test_lib",
        "try:\n    import capbench_test_lib\nexcept ImportError: pass",
        "import importlib\ndef tune(m, t, c): importlib.import_module('capbench_test_lib')",
        "from importlib import import_module\nimport_module('capbench_test_lib')",
        "__import__('capbench_test_lib')",
        "import near",  # which imports it
    ],
)
def test_a_module_counts_wherever_python_would_find_it(
    way: Callable[[pytest.MonkeyPatch], None], importing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        mine=importing,
        near="import capbench_test_lib\n",
        elsewhere__capbench_test_lib="X = 1\n",
        elsewhere__other="X = 1\n",
    )
    way(monkeypatch)
    before = find("mine.py:tune")
    assert scheme_of(before.spec).files(before.spec).folders == {
        Path("elsewhere").resolve()
    }  # where a cluster's nodes look
    write(elsewhere__other="X = 2\n")
    assert find("mine.py:tune") == before
    write(elsewhere__capbench_test_lib="X = 2\n")
    assert find("mine.py:tune") != before
    write(elsewhere__capbench_test_lib="X = 1\n")
    assert find("mine.py:tune") == before


def test_modules_elsewhere_go_to_the_nodes_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    write(mine="from capbench_test_lib import X\ndef tune(m, t, c): return X\n", elsewhere__capbench_test_lib="X = 1\n")
    on_path(monkeypatch)
    ref = find("mine.py:tune")
    step = tuned(ref)
    moved = on_ray.relocated(step, on_ray.unpack(on_ray.needed_by(step).read(), Path("node").resolve()))
    write(elsewhere__capbench_test_lib="X = 2\n")  # after it was sent
    assert isinstance(moved, FineTune) and moved.method.spec != ref.spec
    assert find(moved.method.spec).digest == ref.digest and load(moved.method)(None, None, None) == 1


def test_packages_elsewhere_count_as_far_as_they_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        mine="import capbench_test_pkg.deep, capbench_test_ns.part\nfrom capbench_test_other import near\nimport numpy, json\n",
        elsewhere__capbench_test_pkg__="",
        elsewhere__capbench_test_pkg__deep="from . import beside\nfrom capbench_test_pkg.more import y\n",
        elsewhere__capbench_test_pkg__beside="from ..capbench_test_other import x\n",
        elsewhere__capbench_test_pkg__more="",
        elsewhere__capbench_test_pkg__unused="",
        elsewhere__capbench_test_ns__part="from .whole import x\nimport capbench_test_ns.whole\n",
        elsewhere__capbench_test_ns__whole="",
        elsewhere__capbench_test_other__="def near(): import helper\n",
        elsewhere__numpy="",  # after the installed one
        helper="",
        **{"lib__site-packages__capbench_test_installed": ""},
    )
    monkeypatch.setattr(
        sys, "path", [*sys.path, str(Path("elsewhere").resolve()), str(Path("lib/site-packages").resolve())]
    )
    names = "pkg/__init__ pkg/deep pkg/beside pkg/more ns/part ns/whole other/__init__"
    expected = {"mine.py", "helper.py", *(f"elsewhere/capbench_test_{name}.py" for name in names.split())}
    assert found("mine.py") == expected


def test_of_two_modules_of_one_name_the_one_beside_the_method_counts_whatever_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(one__mine="import capbench_test_same\n", one__capbench_test_same="X = 1\n", two__capbench_test_same="X = 2\n")
    before = find("one/mine.py:tune").digest
    monkeypatch.setattr(sys, "path", [str(Path("two").resolve()), *sys.path])
    importlib.import_module("capbench_test_same")
    assert find("one/mine.py:tune").digest == before and found("one/mine.py") == {
        "one/mine.py",
        "one/capbench_test_same.py",
    }


def test_a_module_on_the_path_counts_what_lies_beside_it_if_it_imports_that(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        capbench_test_pkg__="", capbench_test_pkg__mine="import capbench_test_beside\n", capbench_test_beside="X = 1\n"
    )
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
    before = find("capbench_test_pkg.mine:tune")
    write(capbench_test_beside="X = 2\n")
    assert find("capbench_test_pkg.mine:tune") != before


# ---- libraries


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("import peft\n", True),
        ("def tune(m, t, c):\n    from peft.tuners import lora\n", True),
        ("import helper\n", True),
        ("from capbench.methods.finetuning.lora import lora\n", True),
        ("import torch, numpy\n", False),
        ("from capbench import fit\n", False),
    ],
)
def test_the_version_of_a_library_counts_for_methods_that_import_it(
    source: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(mine=source, helper="import peft\n")
    Path("adapter_config.json").write_text("{}")
    specs = ["mine.py:tune", "peft:adapter_config.json", "lora", "full"]
    before = [find(spec).digest for spec in specs]
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1" if name in ("peft", "torch") else version(name))
    assert [find(spec).digest != digest for spec, digest in zip(specs, before, strict=True)] == [
        counts,
        True,
        True,
        False,
    ]


def test_a_library_counts_by_the_distribution_that_it_comes_with(tmp_path: Path) -> None:
    write(mine="import jinja2, no_such_library\nfrom _pytest import main\nimport json, torch, capbench\n")
    found = libraries([tmp_path / "mine.py"])
    assert [line.partition("==")[0].lower() for line in found] == ["jinja2", "pytest"]
