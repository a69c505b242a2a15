"""docs/guide.md: its files are written and its commands run, in its order, with models that cost nothing."""

from __future__ import annotations

import contextlib
import difflib
import glob
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_suite  # noqa: F401  # an inner run forgets its imports
from guide_blocks import blocks
from tiny import TINY

from capbench.cli.main import COMMANDS, main
from capbench.studies.pcfg.preset import PRESETS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
BLOCKS = blocks(GUIDE)

# What makes the guide's commands cheap, without a word of them changed. Jobs: worker processes would each import torch.
INI = "[pytest]\naddopts = --capbench-jobs=1 -p no:cacheprovider -p no:hypothesispytest --assert=plain\nfilterwarnings = error\n"


@pytest.fixture
def clone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, like a clone, with a scale `small` of tiny models."""
    shutil.copytree(ROOT / "suites", pytester.path / "suites", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makefile(".ini", pytest=INI)
    for name in list(os.environ):
        if name.startswith(("PYTEST_", "CAPBENCH_", "COV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CAPBENCH_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setitem(PRESETS, "small", lambda: TINY)
    for name in [name for name in sys.modules if name.partition(".")[0] == "suites"]:  # those of another folder
        monkeypatch.delitem(sys.modules, name)
    return pytester.path


def carried_out(command: str, pytester: pytest.Pytester) -> tuple[int, str]:
    """Exit code and output. What there is a function for runs in this process, which has its imports."""
    words = [found for word in shlex.split(command) for found in sorted(glob.glob(word)) or [word]]
    if words[0] == "capbench":
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            code = main(words[1:])
        return code, out.getvalue()
    if words[0] == "pytest":
        result = pytester.runpytest_inprocess(*words[1:])
        return int(result.ret), result.stdout.str() + result.stderr.str()
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=200)
    return ended.returncode, ended.stdout + ended.stderr


def tokens(runs: Path) -> set[float]:
    """What one fine-tuning cost, in all runs of a report directory: one number, if it is the same method."""
    records = [r for file in runs.glob("*-small/results.json") for r in json.loads(file.read_text())["records"]]
    return {m["value"] for r in records for m in r["measurements"] if m["name"] == "finetuning.tokens"}


def test_no_number_is_still_to_be_filled_in() -> None:
    assert "«" not in GUIDE and "numbers:" not in GUIDE


@pytest.mark.slow
def test_all_of_the_guide_runs_in_its_order(clone: Path, pytester: pytest.Pytester) -> None:
    for block in BLOCKS:
        if block.file:
            clone.joinpath(block.file).write_text(block.body + "\n")
        for command in block.commands:
            if block.not_run:
                continue
            code, output = carried_out(command, pytester)
            about = f"docs/guide.md, line {block.line}: {command}\n{output}"
            assert code in block.exits, about
            assert [words for words in block.prints if words not in output] == [], about
            assert "Traceback" not in output, about
    (full,), *others = (tokens(clone / "reports" / name) for name in ("full", "first", "second"))
    assert full > 0
    assert others == [{2 * full}, {2 * full}]  # what gives the bug away; mending it costs no more


def test_the_bug_is_one_word() -> None:
    first, second = (block.body.splitlines() for block in BLOCKS if block.file == "mine.py")
    changed = [line for line in difflib.ndiff(first, second) if line[0] in "+-"]
    assert [line[2:].strip() for line in changed] == [
        "old = task.sample(config.batch_size, rng)",
        "old = task.retain.sample(config.batch_size, rng)",
    ]


def test_what_the_guide_names_exists(pytestconfig: pytest.Config) -> None:
    options = {f"--{name.replace('_', '-')}" for name in vars(pytestconfig.option)}
    assert set(re.findall(r"--capbench-[a-z-]*[a-z]", GUIDE)) <= options
    described = [re.match(r"`capbench ([a-z-]+)`", command.__doc__ or "") for command in COMMANDS]
    named = {words.split()[1] for block in BLOCKS for words in block.commands if words.startswith("capbench ")}
    named |= set(re.findall(r"`capbench ([a-z-]+)", GUIDE))
    assert {"compare", "export"} <= named <= {found[1] for found in described if found}
    for file in re.findall(r"suites/\w+/test_\w+\.py", GUIDE):
        assert (ROOT / file).is_file()


MARKED = "<!-- exit: 0 or 1 -->\n<!-- prints: x: y -->\n```sh\none\ntwo\n```\n"


def test_comments_are_about_the_next_block() -> None:
    marked, plain = blocks(MARKED + "words\n\n```python\n# mine.py\nx = 1\n```\n")
    assert (marked.commands, marked.exits, marked.prints) == (["one", "two"], {0, 1}, ("x: y",))
    assert (marked.file, marked.line, marked.not_run) == ("", 3, "")
    assert plain.file == "mine.py" and not plain.commands and not plain.exits
    assert replace(plain, body="x = 1\n# mine.py").file == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```sh\nls\n```\n", "line 1: a block of commands, and only that, says once how it exits"),
        (MARKED.replace("sh", "python"), "line 3: a block of commands"),
        (MARKED.replace("prints: x: y", "not run: no"), "line 3: a block of commands"),
        (MARKED.replace("exit", "exits"), "line 1: unknown comment <!-- exits: 0 or 1 -->"),
        (MARKED.removesuffix("```\n"), "line 3: this block has no end"),
        (MARKED + "<!-- exit: 0 -->\n", "no block follows the comments"),
        (MARKED + "<!-- exit: 0 -->\n# next\n" + MARKED, "line 8: no block follows the comments"),
    ],
)
def test_a_block_that_does_not_say_what_to_expect_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        blocks(text)
