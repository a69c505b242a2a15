"""The report's junit.xml, which pytest writes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

_ENDS = ("failure", "error", "skipped")


def keep_last_attempts(file: Path, names: Collection[str]) -> None:
    """Remove the attempts at tests that were run again: pytest counts them as one test, but lists each attempt.

    names: of these tests, with their class, as in Class.test[case]. An attempt that was not the last has no result.
    Raises OSError if the file cannot be read or written.
    """
    tree = ElementTree.parse(file)
    last = {_own(name) for name in names}
    for suite in tree.iter("testsuite"):
        cases = [(case.get("classname"), case.get("name")) for case in suite]
        for place, case in reversed(list(enumerate(suite))):
            again = case.get("name") in last and cases[place] in cases[place + 1 :]
            if again and not any(case.find(end) is not None for end in _ENDS):
                suite.remove(case)
    tree.write(file, encoding="utf-8", xml_declaration=True)


def _own(name: str) -> str:
    """The test's name without its class; dots in its case stay."""
    test, bracket, case = name.partition("[")
    return f"{test.rpartition('.')[2]}{bracket}{case}"
