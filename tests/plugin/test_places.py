"""The ids of tests in a report, and what a command line names, as paths and as modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from capbench.plugin import places

NOTHING = "def test_nothing():\n    pass\n"


def only(pytester: pytest.Pytester, *arguments: str) -> pytest.Item:
    items, _ = pytester.inline_genitems(*arguments)
    (item,) = items
    return item


@pytest.fixture
def package(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An importable package that lies outside of the current folder: elsewhere/mine/part/test_one.py."""
    folder = tmp_path / "elsewhere" / "mine"
    (folder / "part").mkdir(parents=True)
    for place in (folder, folder / "part"):
        (place / "__init__.py").touch()
    (folder / "part" / "test_one.py").write_text(NOTHING)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_a_test_of_one_s_own_keeps_its_id(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("sub").joinpath("test_one.py").write_text(NOTHING)
    assert places.portable_id(only(pytester, "sub")) == "sub/test_one.py::test_nothing"


def test_an_id_without_a_path_gets_the_file_s_name(pytester: pytest.Pytester, package: Path) -> None:
    item = only(pytester, "--pyargs", "mine.part.test_one")
    assert item.nodeid == "::test_nothing"
    assert places.portable_id(item) == "test_one.py::test_nothing"


def test_a_suite_has_one_id_wherever_it_lies(
    pytester: pytest.Pytester, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "shipped_suites", lambda: package)
    for asked in ("mine", "mine.part", "mine.part.test_one"):
        item = only(pytester, "--pyargs", asked)
        assert places.portable_id(item) == "suites/part/test_one.py::test_nothing"


def test_paths_and_modules_are_found_on_the_command_line(pytester: pytest.Pytester, package: Path) -> None:
    here = pytester.path
    asked = [
        "mine",
        "mine.part",
        "mine.part.test_one",
        "mine.nothing",
        "no.such",
        "sub/",
        "./sub/test_a.py",
        "sub/test_a.py::x",
    ]
    with_modules = places.asked_paths(pytester.parseconfig("--pyargs", *asked))
    assert with_modules == [
        package,
        package / "part",
        package / "part" / "test_one.py",
        here / "mine.nothing",
        here / "no.such",
        here / "sub",
        here / "sub" / "test_a.py",
    ]
    plain = places.asked_paths(pytester.parseconfig("mine.part", "sub/", "../x"))
    assert plain == [here / "mine.part", here / "sub", here.parent / "x"]


def test_a_test_of_an_earlier_report_may_lie_here_or_where_the_suites_are(
    pytester: pytest.Pytester, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pytester.parseconfig("--pyargs", "mine")
    monkeypatch.setattr(places, "shipped_suites", lambda: package.parent / "suites")
    found = places.possible_files(config, "suites/pcfg/test_x.py::test[a]")
    assert found == [pytester.path / "suites/pcfg/test_x.py", package.parent / "suites/pcfg/test_x.py"]
    monkeypatch.setattr(places, "shipped_suites", lambda: None)
    assert places.possible_files(config, "a.py::test") == [pytester.path / "a.py"]
