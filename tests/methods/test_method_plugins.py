"""Names for methods from installed packages, plugins and conftests, and adapters of PEFT given by their configuration."""

from __future__ import annotations

import functools
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_suite import lines_with, record, results, run, write_suite

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import module as modules
from capbench.methods.specs import names
from capbench.methods.specs.registry import MethodRef, find, load

SOURCE = "open('ran', 'w').close()\ndef tune(model, task, config, rank=1):\n    return rank\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in [n for n in sys.modules if n not in before and n.startswith(("capbench_method_", "capbench_test_"))]:
        del sys.modules[name]


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, distribution: str, module: str, **points: str) -> Path:
    """A distribution with a module and entry points, as pip leaves it; gives the module's file."""
    site = folder / f"site-{distribution}"
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [f"{name.replace('_', '-')} = {target}" for name, target in points.items()]
    info.joinpath("entry_points.txt").write_text("\n".join(["[capbench.methods]", *lines, ""]))
    file = site / f"{module}.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(site)
    return file


# ---- entry points


def test_an_installed_package_gives_a_method_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = installed(folder, monkeypatch, "shiny", "capbench_test_shiny", shiny_tune="capbench_test_shiny:tune")
    ref = find("shiny-tune")
    assert not Path("ran").exists() and "capbench_test_shiny" not in sys.modules  # found without running it
    assert (ref.name, ref.spec) == ("shiny-tune", "capbench_test_shiny:tune")
    assert ref == find("capbench_test_shiny:tune")  # so that both share their models
    assert load(ref)(None, None, None) == 1
    file.write_text(SOURCE.replace("rank=1", "rank=2"))
    assert find("shiny-tune").digest != ref.digest


def test_an_installed_method_takes_arguments_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(folder, monkeypatch, "shiny", "capbench_test_shiny", shiny="capbench_test_shiny:tune")
    ref = find("shiny", arguments=(("rank", 7),))
    assert ref.name == "shiny(rank=7)" and load(ref)(None, None, None) == 7
    with pytest.raises(MethodError, match=r"'shiny' has no argument 'ranks'; it takes rank$"):
        find("shiny", arguments=(("ranks", 7),))


def test_an_unknown_name_is_answered_with_the_installed_ones_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(folder, monkeypatch, "shiny", "capbench_test_shiny", shiny="capbench_test_shiny:tune")
    with pytest.raises(UsageError, match=r"unknown method 'shinny'.*identity.*from plugins: mine, shiny\)"):
        find("shinny", registered={"mine": "mine.py:tune"})


def test_a_name_that_is_built_in_is_an_error_that_names_the_distribution(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(folder, monkeypatch, "greedy", "capbench_test_greedy", full="capbench_test_greedy:tune")
    with pytest.raises(
        UsageError, match=r"'full' is given by the distribution 'greedy' and capbench: rename one"
    ) as error:
        find("full")
    assert "\n" not in str(error.value)
    assert find("identity").spec == "identity"  # the others are not to blame


def test_a_name_that_two_distributions_give_is_an_error_that_names_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        installed(folder, monkeypatch, name, f"capbench_test_{name}", same=f"capbench_test_{name}:tune")
    with pytest.raises(UsageError, match=r"'one'") as error:
        find("same")
    assert "'two'" in str(error.value) and find("capbench_test_one:tune").digest


@pytest.mark.parametrize(
    ("target", "kind", "said"),
    [
        ("capbench_test_gone:tune", MethodError, "no module 'capbench_test_gone'"),
        ("capbench_test_shiny", UsageError, "stands for 'capbench_test_shiny', which is not of the form"),
        ("capbench_test_shiny:a.b", UsageError, "not of the form pkg.mod:attr"),
    ],
)
def test_an_entry_point_that_leads_nowhere_says_so_with_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, target: str, kind: type[Exception], said: str
) -> None:
    installed(folder, monkeypatch, "shiny", "capbench_test_shiny", shiny=target)
    with pytest.raises(kind) as error:
        find("shiny")
    assert "'shiny'" in str(error.value) and said in str(error.value) and "\n" not in str(error.value)


# ---- names that a conftest or a plugin registers


def module(path: str, source: str) -> dict[str, Any]:
    """What a file defines, as when a conftest is imported."""
    file = Path(path).resolve()
    file.write_text(source)
    space: dict[str, Any] = {"__file__": str(file), "__name__": file.stem}
    exec(compile(source, str(file), "exec"), space)
    return space


FUNCTIONS = """
import functools
def tune(model, task, config): return 1
def passed_on(function):
    @functools.wraps(function)
    def inner(*given): return function(*given)
    return inner
@passed_on
def wrapped(model, task, config): return 2
class Tune:
    def __call__(self, model, task, config): return 3
    def method(self, model, task, config): return 3
def local():
    def tune(model, task, config): return 4
    return tune
other = local()
anonymous = lambda model, task, config: 5
alias = tune
"""


def test_functions_become_specs_that_any_process_can_load() -> None:
    space = module("conftest.py", FUNCTIONS)
    answers = [{"one": space["tune"], "two": space["wrapped"]}, {"three": "conftest.py:tune", "plain": "full"}, {}]
    registered = names.collect(answers)
    assert registered["one"] == f"{Path('conftest.py').resolve()}:tune"
    refs = {name: find(name, registered=registered) for name in registered}
    assert [load(refs[name])(None, None, None) for name in ("one", "two", "three")] == [1, 2, 1]
    assert [refs[name].name for name in refs] == ["one", "two", "three", "plain"]
    assert pickle.loads(pickle.dumps(refs)) == refs  # all that another process gets
    assert refs["one"] == refs["three"] and refs["plain"] == find("full")


def test_a_function_of_a_package_is_named_by_its_module() -> None:
    """Run as a file it could not import its neighbours as `.name`."""
    assert names.collect([{"mine": load}]) == {"mine": "capbench.methods.specs.registry:load"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda space: space["anonymous"],
        lambda space: space["other"],
        lambda space: space["Tune"](),
        lambda space: space["Tune"],
        lambda space: space["Tune"].method,
        lambda space: functools.partial(space["tune"], 1),
        lambda space: print,
        lambda space: 5,
        lambda space: None,
    ],
    ids=["lambda", "local", "instance", "class", "method", "partial", "in C", "number", "none"],
)
def test_what_other_processes_cannot_import_is_refused_in_one_line(wrong: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(UsageError, match=r"'mine' is .*cannot import; give a function defined at the top") as error:
        names.collect([{"mine": wrong(module("conftest.py", FUNCTIONS))}])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([["mine"]], "must return a dict"),
        ([{"full": "mine.py:tune"}], "'full' is the name of a built-in"),
        ([{"mine": "a.py:tune"}, {"mine": "b.py:tune"}], "'mine' is registered twice"),
        ([{3: "mine.py:tune"}], "3 is not a method name"),
        ([{"": "mine.py:tune"}], "'' is not a method name"),
        ([{"a:b": "mine.py:tune"}], "'a:b' is not a method name"),
        ([{"mine": "mine.py"}], "not of the form"),
        ([{"mine": "yours"}], "not of the form"),
    ],
)
def test_an_answer_of_another_form_is_a_usage_error(answers: list[object], said: str) -> None:
    with pytest.raises(UsageError) as error:
        names.collect(answers)
    assert said in str(error.value) and "\n" not in str(error.value)


TESTS = """
@about_method("of.tuned")
def test_tuned(judge):
    judge.measure((weights, ["tuned"]))
    judge.decide(at_least(judge["tuned"], 0.5, "weights"))
"""
CONFTEST = """
import copy
def mine(model, task, config):
    return copy.deepcopy(model)
def pytest_capbench_register_methods(config):
    assert config.rootpath
    return {"my-method": mine, "nothing": "identity"}
"""


def test_a_conftest_registers_methods(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("conftest.py").write_text(CONFTEST)
    options = ("--capbench-seeds=1", "--capbench-method=my-method", "--capbench-method=nothing")
    result = run(pytester, "-v", *options, "--capbench-report=reports")
    result.assert_outcomes(passed=2)
    assert lines_with(result, "::test_tuned[method=my-method] PASSED")
    found = results(pytester)
    assert found.run.methods == ("my-method", "nothing")
    one, other = ([m.value for m in record(found, "of.tuned", name).measurements] for name in found.run.methods)
    assert one == other


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return {'full': mine}", ["'full' is the name of a built-in"]),
        ("return {'mine': lambda model, task, config: model}", ["'mine' is", "cannot import"]),
        ("raise ValueError('two\\nlines')", ["failed: ValueError: two lines", "conftest.py:3"]),
        ("return {'other': mine}", ["method=mine: unknown method: use", "from plugins: other"]),
    ],
)
def test_a_conftest_that_registers_badly_ends_the_run_with_one_line(
    pytester: pytest.Pytester, body: str, said: list[str]
) -> None:
    write_suite(pytester, TESTS)
    source = f"def mine(model, task, config): return model\ndef pytest_capbench_register_methods():\n    {body}\n"
    pytester.path.joinpath("conftest.py").write_text(source.replace("two\nlines", "two\\nlines"))
    result = run(pytester, "--capbench-method=mine")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert lines_with(result, *said) and not lines_with(result, "Traceback")


# ---- PEFT


@pytest.fixture
def adapters(monkeypatch: pytest.MonkeyPatch) -> type:
    """In place of capbench.methods.peft.adapters, so that no PEFT is needed."""

    class Adapters:
        @staticmethod
        def from_config(file: Path) -> Callable[..., Any]:
            content = json.loads(file.read_text())
            if "broken" in content:
                raise ValueError("no such\nadapter")
            return lambda model, task, config: content["r"]

    monkeypatch.setitem(sys.modules, "capbench.methods.peft.adapters", Adapters)  # type: ignore[arg-type]
    return Adapters


def adapter(content: str = '{"r": 8}', path: str = "lora-r8/adapter_config.json") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """The file whose version counts as that of capbench.methods.peft.adapters."""
    file = folder / "code.py"
    file.write_text("1\n")
    original = modules.module_file
    monkeypatch.setattr(modules, "module_file", lambda spec, name: file if "peft" in name else original(spec, name))
    return file


@pytest.mark.usefixtures("adapters", "code")
def test_an_adapter_is_found_by_its_file_or_folder_and_named_shortly(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter()
    ref = find("peft:lora-r8/adapter_config.json")
    assert ref == find("peft:lora-r8") == find(f"peft:{folder}/lora-r8/")
    assert (ref.spec, ref.name) == (f"peft:{folder}/lora-r8/adapter_config.json", "peft:lora-r8/adapter_config.json")
    adapter(path="other.json")
    assert find("peft:./other.json").name == "peft:other.json"
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load(ref)(None, None, None) == 8


@pytest.mark.usefixtures("adapters")
def test_an_adapter_of_another_configuration_or_code_is_another_method(code: Path) -> None:
    adapter()
    refs = [find("peft:lora-r8")]
    adapter('{"r": 4}')
    refs.append(find("peft:lora-r8"))
    code.write_text("2\n")
    refs.append(find("peft:lora-r8"))
    assert len(set(refs)) == 3 and len({r.spec for r in refs}) == 1
    code.write_text("1\n")
    assert find("peft:lora-r8") == refs[1]


@pytest.mark.usefixtures("adapters", "code")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("peft:gone.json", "there is no file 'gone.json'"),
        ("peft:empty", "there is no file 'empty/adapter_config.json'"),
        ("peft:bad.json", "bad.json is not JSON"),
        ("peft:bytes.json", "bytes.json is not UTF-8"),
        ("peft:list.json", "list.json holds a list"),
    ],
)
def test_an_adapter_that_is_not_there_or_no_json_is_a_method_error_of_one_line(spec: str, said: str) -> None:
    Path("empty").mkdir()
    adapter('{\n"r": 8,\n}', "bad.json")
    adapter("[]", "list.json")
    Path("bytes.json").write_bytes(b"\xff\x00")
    with pytest.raises(MethodError) as error:
        find(spec)
    assert repr(spec) in str(error.value) and said in str(error.value) and "\n" not in str(error.value)


def test_peft_without_a_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"use peft:path/adapter_config\.json"):
        find("peft:")


@pytest.mark.usefixtures("adapters", "code")
def test_what_is_wrong_with_an_adapter_is_told_where_it_is_loaded() -> None:
    adapter('{"broken": 1}')
    with pytest.raises(MethodError, match=r"'peft:lora-r8/adapter_config\.json' .*ValueError: no such adapter"):
        load(find("peft:lora-r8"))
    adapter()
    with pytest.raises(MethodError, match=r"has no argument 'rank'; it takes none"):
        load(find("peft:lora-r8", arguments=(("rank", 3),)))


def test_the_name_that_a_method_was_given_by_is_no_part_of_it() -> None:
    one, other = (MethodRef(spec="a:b", digest="0", called=called) for called in ("", "mine"))
    assert one == other and hash(one) == hash(other) and (one.name, other.name) == ("a:b", "mine")
