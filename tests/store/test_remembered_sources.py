"""What is kept of capbench's own sources between runs is that of sources with just these contents, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from capbench.store import places
from capbench.store.remembered import Sources, fingerprint, remembered


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A capbench of two files."""
    root = tmp_path / "capbench"
    (root / "store").mkdir(parents=True)
    (root / "one.py").write_text("x = 1\n")
    (root / "two.py").write_text("from capbench import one\n")
    monkeypatch.setattr(places, "ROOT", root)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return root


def finding(package: Path, asked: list[str]) -> Callable[[], Sources]:
    def find_out() -> Sources:
        asked.append("found out")
        one, two = package / "one.py", package / "two.py"
        return Sources({one: one.read_text(), two: "b"}, {one: frozenset(), two: frozenset({one})})

    return find_out


def kept(package: Path) -> list[Path]:
    return list((package / "store").rglob("sources-*.cache"))


def test_it_is_found_out_once(package: Path) -> None:
    asked: list[str] = []
    files = [package / "one.py", package / "two.py"]
    first = remembered(files, finding(package, asked))
    assert remembered(files, finding(package, asked)) == first and asked == ["found out"]
    assert first.imports[package / "two.py"] == {package / "one.py"}
    # A file that was not asked for before is.
    remembered([*files, package / "three.py"], finding(package, asked))
    assert len(asked) == 2


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename"])
def test_other_sources_are_others(package: Path, change: str) -> None:
    asked: list[str] = []
    files = [package / "one.py"]
    remembered(files, finding(package, asked))
    before = fingerprint()
    if change == "edit":
        (package / "one.py").write_text("x = 2\n")
    elif change == "add":
        (package / "three.py").write_text("")
    elif change == "remove":
        (package / "two.py").unlink()
    else:
        (package / "two.py").rename(package / "too.py")
    assert fingerprint() != before
    remembered(files, finding(package, asked))
    assert len(asked) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"check": "", "sources": {}}', '{"sources": {"one.py": ["a", []]}}']
)
def test_what_is_not_whole_is_found_out_again(package: Path, content: str) -> None:
    asked: list[str] = []
    files = [package / "one.py"]
    first = remembered(files, finding(package, asked))
    (file,) = kept(package)
    file.write_text(content)
    assert remembered(files, finding(package, asked)) == first and len(asked) == 2


def test_of_a_source_that_is_edited_meanwhile_nothing_is_kept(package: Path) -> None:
    find_out = finding(package, [])

    def edited() -> Sources:
        found = find_out()
        (package / "one.py").write_text("x = 3\n")
        return found

    remembered([package / "one.py"], edited)
    assert kept(package) == []


def test_where_no_bytecode_is_written_nothing_is_kept(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    remembered([package / "one.py"], finding(package, []))
    assert kept(package) == []


def test_few_are_kept(package: Path) -> None:
    for i in range(6):
        (package / "one.py").write_text(f"x = {i}\n")
        remembered([package / "one.py"], finding(package, []))
    assert len(kept(package)) == 4
