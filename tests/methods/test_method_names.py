"""No two methods of a run have one name, and none is there twice."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.methods.specs.endings import longer, shortest
from capbench.methods.specs.registry import MethodRef
from capbench.session.options.checked import Options
from capbench.session.options.given import Given
from capbench.session.options.row import PYTEST

SOURCE = "def tune(model, task, config): return model\ndef other(model, task, config): return model\n"
FILES = (
    *("mine.py", "a/mine.py", "b/mine.py", "x/a/mine.py", "lora.py", "capbench_test_names/__init__.py"),
    *("capbench_test_names/mine.py", "full/__init__.py", "full/mine.py"),
)
ADAPTERS = ("p/lora/adapter_config.json", "q/lora/adapter_config.json", "q/dora/adapter_config.json", "q/other.json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in (*FILES, *ADAPTERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(SOURCE if name.endswith(".py") else '{"peft_type": "LORA", "r": 2}')
    (tmp_path / "link.py").symlink_to("a/mine.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in [n for n in sys.modules if n not in before and n.startswith("capbench_test_")]:
        del sys.modules[name]


def options(*specs: str, registered: Mapping[str, str] | None = None) -> Options:
    return Options.of(Given(PYTEST, {"method": list(specs)}), command="", registered=registered)


def names(*specs: str, registered: Mapping[str, str] | None = None) -> list[str]:
    found = options(*specs, registered=registered).methods
    return [one.name if isinstance(one, MethodRef) else spec for spec, one in found.items()]


@pytest.mark.parametrize(
    "given_as",
    [
        {"a/mine.py:tune": "a/mine.py:tune", "b/mine.py:tune": "b/mine.py:tune"},
        {"a/mine.py:tune": "mine.py:tune", "a/mine.py:other": "mine.py:other"},
        {"./mine.py:tune": "{here}/mine.py:tune", "b/mine.py:tune": "b/mine.py:tune"},
        {
            "a/mine.py:tune": "{here}/a/mine.py:tune",
            "x/a/mine.py:tune": "x/a/mine.py:tune",
            "b/mine.py:tune": "b/mine.py:tune",
        },
        {"peft:p/lora": "peft:p/lora/adapter_config.json", "peft:q/lora": "peft:q/lora/adapter_config.json"},
        {"peft:p/lora": "peft:lora/adapter_config.json", "peft:q/dora": "peft:dora/adapter_config.json"},
        {"peft:q/other.json": "peft:other.json", "peft:p/lora": "peft:lora/adapter_config.json"},
        {"lora": "lora", "lora.py:tune": "lora.py:tune", "peft:p/lora": "peft:lora/adapter_config.json"},
        {"full": "full", "full.mine:tune": "full.mine:tune", "mine.py:tune": "mine.py:tune"},
        {"capbench_test_names.mine:tune": "capbench_test_names.mine:tune", "mine.py:tune": "mine.py:tune"},
        {"mine": "mine", "mine.py:tune": "mine.py:tune"},
        {
            "no/mine.py:tune": "no/mine.py:tune",
            "b/mine.py:tune": "mine.py:tune",
        },  # one that cannot be used goes by its spec
        {"no.py:tune": "no.py:tune", "b/mine.py:nothing": "mine.py:nothing"},
    ],
    ids=lambda given_as: " ".join(given_as),
)
def test_methods_of_one_name_are_told_apart_by_their_folders(given_as: dict[str, str], folder: Path) -> None:
    expected = {spec: name.format(here=folder.name) for spec, name in given_as.items()}
    for specs in itertools.permutations(expected):
        assert names(*specs, registered={"mine": "a/mine.py:tune"}) == [expected[spec] for spec in specs]


@pytest.mark.parametrize(
    "specs",
    [
        ("a/mine.py:tune", "./a/mine.py:tune", "{folder}/a/mine.py:tune", "a/../a/mine.py:tune", "link.py:tune"),
        ("mine", "a/mine.py:tune"),
        ("capbench_test_names.mine:tune", "capbench_test_names/mine.py:tune"),
        ("full", "capbench.methods.finetuning.full:full"),
        ("peft:p/lora", "peft:p/lora/adapter_config.json", "peft:./p/lora"),
    ],
)
def test_a_method_given_in_two_spellings_is_one(specs: tuple[str, ...], folder: Path) -> None:
    given_as = [spec.format(folder=folder) for spec in specs]
    registered = {"mine": "a/mine.py:tune"}
    for order in (given_as, given_as[::-1]):
        assert names(*order, registered=registered) == names(order[0], registered=registered)
        assert list(options(*order, registered=registered).methods) == order[:1]


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(st.sets(PATHS, min_size=1, max_size=12), st.randoms())
def test_any_paths_get_the_shortest_ends_that_tell_them_apart(paths: set[str], random: Random) -> None:
    def ends(path: str) -> list[str]:
        last = path.rpartition("/")[2]
        return [last, *longer(last, path)]

    order = sorted(paths)
    found = shortest({path: ends(path) for path in order})
    assert len(set(found.values())) == len(paths)
    for path, name in found.items():
        shorter = name.partition("/")[2]
        assert path == name or path.endswith(f"/{name}") or name.startswith("/")
        assert not shorter or any(other != path and f"/{other}".endswith(f"/{shorter}") for other in paths)
    random.shuffle(order)
    assert shortest({path: ends(path) for path in order}) == found


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lroa", r"^--capbench-method=lroa: unknown method: use a built-in \(full, "),
        ("peft:", r"^--capbench-method=peft:: names no file; use peft:path/adapter_config\.json$"),
        ("a:b:", r"^--capbench-method=a:b:: is not of the form "),
    ],
)
def test_a_message_quotes_the_method_once(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options(spec)
