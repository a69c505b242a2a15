"""The version of a method: its own file and the user's modules that it imports, no others, and nothing is run to find out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capbench import PUBLIC
from capbench.errors import MethodError
from capbench.methods.specs import sources
from capbench.methods.specs.built_in import BUILT_IN
from capbench.methods.specs.registry import find, load
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
        file = Path(*name.split("__")).with_suffix(".py") if not name.endswith("__") else Path(name[:-2], "__init__.py")
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
