"""The commands of the README and of docs/: all of them parse, and those that take seconds do what the page says.

docs/guide.md and docs/variants.md are run by tests of their own; here their commands are parsed.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh import printed
from guide_blocks import Block, blocks

from capbench.cli.main import COMMANDS, main, parsed
from capbench.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages for those who work on capbench: their commands are parsed only.
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "RESULTS.md", ROOT / "reports" / "reference" / "results.md"]
HAVE_A_TEST = ("guide.md", "variants.md")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, as the shell splits it."""
    words: list[str] = []
    for word in [*shlex.split(line), "&&"]:
        if word == "&&":
            yield words
            words = []
        else:
            words.append(word)


def inline(page: str) -> list[str]:
    """Commands with options that stand in a sentence, between backticks."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    return [
        found for found in re.findall(r"`([^`\n]+)`", prose) if re.match(r"(capbench|pytest|python) [^…]*--\w", found)
    ]


def fenced(page: str) -> list[str]:
    return [
        line for body in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) for line in body.splitlines()
    ]


def script_options(script: Path) -> set[str]:
    """The options of a script, as it hands them to argparse."""
    calls = [node for node in ast.walk(ast.parse(text(script))) if isinstance(node, ast.Call)]
    named = [
        a.value
        for call in calls
        for a in call.args
        if ast.unparse(call.func).endswith("add_argument") and isinstance(a, ast.Constant)
    ]
    return {str(name) for name in named if str(name).startswith("-")}


def of_a_script(words: list[str]) -> None:
    """AssertionError for the words after `python` that name no script of this project, or an option that it lacks."""
    script, *rest = words
    known: set[str] = set()
    if script == "-m":
        assert importlib.util.find_spec(rest.pop(0))
    elif Path(script).name != script:  # else a user's own, beside the page's other files
        assert (ROOT / script).is_file()
        known = script_options(ROOT / script)
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known


ALL = [
    pytest.param(command, id=f"{page.name}: {' '.join(command)[:60]}")
    for page in [*PAGES, *OTHERS]
    for line in [*fenced(text(page)), *inline(text(page))]
    for command in commands(line)
]


@pytest.mark.parametrize("command", ALL)
def test_a_command_has_only_options_that_there_are(command: list[str], pytester: pytest.Pytester) -> None:
    program, *words = command
    if program == "capbench":
        parsed(words)  # UsageError where an option is unknown
    elif program == "pytest":
        pytester.parseconfig(*words)  # pytest.UsageError where an option is unknown
    elif program == "python":
        of_a_script(words)
    else:
        assert program in ("pip", "ruff", "mypy")


def test_an_option_that_is_not_there_is_found(pytester: pytest.Pytester) -> None:
    assert main(["plan", "--no-such-option"]) == 2
    with pytest.raises(UsageError, match="--no-such-option"):
        parsed(["plan", "--no-such-option"])
    with pytest.raises(pytest.UsageError, match="--capbench-no-such-option"):
        pytester.parseconfig("suites/", "--capbench-no-such-option=1")
    of_a_script(["benchmarks/table.py", "--write", "page.md"])
    for words in (["benchmarks/table.py", "--no-such-option"], ["benchmarks/no_such_script.py"], ["mine.py", "--fast"]):
        with pytest.raises(AssertionError):
            of_a_script(words)


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: page.name)
def test_a_page_names_only_options_and_commands_that_there_are(page: Path, pytestconfig: pytest.Config) -> None:
    options = {f"--{name.replace('_', '-')}" for name in vars(pytestconfig.option)}
    assert set(re.findall(r"--capbench-[a-z-]*[a-z]", text(page))) <= options
    described = [re.match(r"`capbench ([a-z-]+)`", command.__doc__ or "") for command in COMMANDS]
    known = {found[1] for found in described if found} | {"train"}
    assert set(re.findall(r"`capbench ([a-z-]+)", text(page))) <= known


RUN = [
    pytest.param(block, text(page), id=f"{page.name}, line {block.line}")
    for page in PAGES
    if page.name not in HAVE_A_TEST
    for block in blocks(text(page))
    if block.commands and not block.not_run
]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the parts of a clone that commands read."""
    for name in ("suites", "reports"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "CAPBENCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CAPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("block", "page"), RUN)
def test_a_command_that_takes_seconds_does_what_the_page_says(block: Block, page: str, clone: Path) -> None:
    for written in blocks(page):
        if written.file:
            (clone / written.file).write_text(written.body + "\n")
    for line in block.commands:
        code, output = carried_out(shlex.split(line))
        assert code in block.exits, output
        assert [words for words in block.prints if words not in output] == [], output
        assert "Traceback" not in output


def carried_out(words: list[str]) -> tuple[int, str]:
    """Exit code and output. What collects tests runs in a process of its own, all else in this one, which has its imports."""
    program, *rest = words
    assert program == "capbench"
    if rest[0] in ("plan", "train"):
        code = (
            "import contextlib, sys\nfrom capbench.cli.main import main\nwith contextlib.redirect_stderr(sys.stdout):\n"
        )
        output, _, status = printed(f"{code}    print(chr(0), main({rest!r}))", Path.cwd()).partition("\0")
        return int(status), output
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        status = main(rest)
    return status, out.getvalue()
