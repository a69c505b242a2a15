"""Methods by name: built-ins, files and modules are found without being run, and what is wrong with them is one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import capbench
from capbench.errors import MethodError, UsageError
from capbench.methods.finetuning.full import full
from capbench.methods.specs.built_in import BUILT_IN
from capbench.methods.specs.registry import MethodRef, find, load
from capbench.methods.specs.user_code import one_line

SOURCE = "def tune(model, task, config):\n    return 1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder, as working directory; the Python path and what is imported from there are undone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # as for a user
    before = set(sys.modules)
    yield tmp_path
    for name in [n for n in sys.modules if n not in before and n.startswith(("capbench_method_", "capbench_test_"))]:
        del sys.modules[name]


def write(path: str, source: str = SOURCE) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return file


def called(spec: str) -> Any:
    return load(find(spec))(None, None, None)


# ---- finding


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_methods_are_found_by_name(name: str) -> None:
    ref = find(name)
    assert ref == find(name) and ref.spec == ref.name == name
    assert load(ref).__name__ == name.replace("-", "_")


def test_a_built_in_method_is_also_found_by_its_module() -> None:
    assert load(find("capbench.methods.finetuning.full:full")) is full is load(find("full"))
    assert find("capbench.methods.finetuning.full:full").digest == find("full").digest != find("identity").digest


@pytest.mark.parametrize("spec", ["mine.py:tune", "sub/mine.py:tune", "./sub/../mine.py:tune"])
def test_a_file_is_found_and_named_without_its_directories(spec: str) -> None:
    write(spec.split(":")[0])
    assert called(spec) == 1
    assert find(spec).name == "mine.py:tune"


def test_a_file_is_found_again_from_another_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("mine.py")
    ref = find("mine.py:tune")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load(ref)(None, None, None) == 1
    assert find(f"{folder}/mine.py:tune") == ref


@pytest.mark.parametrize("module", ["capbench_test_mine", "capbench_test_pkg.mine"])
def test_a_module_next_to_the_user_is_found(module: str) -> None:
    write(module.replace(".", "/") + ".py")
    assert called(f"{module}:tune") == 1
    assert find(f"{module}:tune").name == f"{module}:tune"


def test_a_method_may_be_any_callable() -> None:
    write("mine.py", "class Tune:\n    def __call__(self, *given): return 7\ntune = Tune()\nother = lambda *given: 8\n")
    assert (called("mine.py:tune"), called("mine.py:other")) == (7, 8)


@pytest.mark.parametrize("spec", ["mine.py:tune", "capbench_test_ran:tune"])
def test_finding_does_not_run_the_users_code(spec: str) -> None:
    for path in ("mine.py", "capbench_test_ran.py"):
        write(path, f"open('ran', 'w').close()\n{SOURCE}")
    ref = find(spec)
    assert not Path("ran").exists()
    load(ref)
    assert Path("ran").exists()


# ---- versions


@pytest.mark.parametrize("spec", ["mine.py:tune", "capbench_test_digest:tune"])
def test_the_digest_is_that_of_the_source(spec: str) -> None:
    file = write("mine.py" if ".py" in spec else "capbench_test_digest.py")
    before = find(spec)
    assert find(spec) == before
    file.write_text(SOURCE.replace("1", "2"))
    assert find(spec).digest != before.digest and find(spec).spec == before.spec
    file.write_text(SOURCE)
    assert find(spec) == before


def test_the_code_that_runs_is_the_code_that_was_hashed() -> None:
    file = write("mine.py")
    assert called("mine.py:tune") == 1
    stamp = file.stat()
    file.write_text(SOURCE.replace("1", "2"))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # edited within the clock's resolution
    assert called("mine.py:tune") == 2


# ---- mistakes


@pytest.mark.parametrize("spec", ["fulll", "", "no_such", "mine.py", "mine.py:", ":tune", "mine.py:not a name"])
def test_a_spec_of_no_known_form_is_a_usage_error_that_says_what_is_right(spec: str) -> None:
    write("mine.py")
    with pytest.raises(UsageError) as error:
        find(spec)
    message = str(error.value)
    assert repr(spec) in message and "pkg.mod:attr" in message and "\n" not in message


def test_an_unknown_name_is_answered_with_the_built_in_ones() -> None:
    with pytest.raises(UsageError) as error:
        find("fulll")
    assert all(f"{name}, " in f"{error.value}, " for name in ("full", "frozen-trunk", "identity", "npo"))


def test_every_module_of_the_two_packages_is_a_method() -> None:
    """So that a new method is one file."""
    places = [Path(capbench.__file__).parent / "methods" / kind for kind in ("finetuning", "deletion")]
    files = [file for place in places for file in place.glob("*.py") if file.name != "__init__.py"]
    assert {file.stem.replace("_", "-") for file in files} == BUILT_IN.keys() and len(BUILT_IN) == len(files) >= 20


FILES = {
    "capbench_test_broken/__init__.py": "def broken(:\n",
    "capbench_test_broken/mine.py": SOURCE,
    "capbench_test_raising/__init__.py": "1 / 0\n",
    "capbench_test_raising/mine.py": SOURCE,
    "capbench_test_bare/mine.py": SOURCE,
}


@pytest.mark.parametrize(
    "spec",
    [
        "missing.py:tune",
        "/no/such/place.py:tune",
        "capbench_test_bare:tune",  # a folder without __init__.py
        "no_such_module:tune",
        "no_such.module:tune",
        "capbench.methods.nothing:tune",
        "capbench_test_broken.mine:tune",
        "capbench_test_raising.mine:tune",
        "sys:exit",
    ],
)
def test_what_is_not_there_is_a_method_error_of_one_line(spec: str) -> None:
    for path, source in FILES.items():
        write(path, source)
    with pytest.raises(MethodError) as error:
        load(find(spec))
    assert repr(spec) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "source, said",
    [
        ("def tune(:\n", ["SyntaxError", "line 1"]),
        ("\n\nraise ValueError('two\\nlines')\n", ["ValueError", "two lines", "mine.py:3"]),
        ("import no_such_library\n", ["ModuleNotFoundError", "no_such_library", "mine.py:1"]),
        ("raise SystemExit('usage: mine.py')\n", ["SystemExit", "mine.py:1"]),
        ("def other(): pass\ndef third(): pass\n", ["'tune'", "other, third"]),
        ("from os import getcwd\n", ["'tune'", "no function"]),
        ("tune = 5\n", ["'tune'", "int"]),
        ("tune = None\n", ["'tune'"]),
    ],
    ids=["syntax", "raises", "import", "exits", "no attribute", "no function", "not callable", "none"],
)
def test_what_is_wrong_in_the_users_file_is_said_in_one_line(source: str, said: list[str]) -> None:
    ref = find(f"{write('mine.py', source)}:tune")  # finding does not mind
    with pytest.raises(MethodError) as error:
        load(ref)
    message = str(error.value)
    assert repr(ref.name) in message and "\n" not in message
    for words in said:
        assert words in message, message


def test_a_file_that_has_gone_since_it_was_found_is_said_in_one_line() -> None:
    file = write("mine.py")
    ref = find("mine.py:tune")
    file.unlink()
    with pytest.raises(MethodError, match=r"mine\.py:tune") as error:
        load(ref)
    assert "\n" not in str(error.value)


def test_an_error_in_one_line_names_the_users_line_and_not_the_librarys() -> None:
    write("mine.py", "import json\ndef tune(*given):\n    return json.loads('{')\n")
    method = load(find("mine.py:tune"))
    with pytest.raises(ValueError) as error:
        method()
    assert "JSONDecodeError" in one_line(error.value)
    assert "(mine.py:3)" in one_line(error.value)


def test_an_error_without_a_message_is_still_one_line() -> None:
    assert one_line(ValueError()) == "ValueError: no message"


def test_a_reference_is_plain_data() -> None:
    ref = find("full")
    assert MethodRef(spec=ref.spec, digest=ref.digest) == ref
