"""The code blocks of a guide in Markdown, with what its HTML comments say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(r"```(\w*)$")
COMMENT = re.compile(r"<!-- (exit|prints|not run|numbers): (.+) -->$")
FILE = re.compile(r"# (\S+\.\w+)$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a guide.

    line: where it begins. exits: exit codes that each of its commands may have. prints: what their output holds, in any of its
    lines. not_run: why its commands are not run; empty if they are.
    """

    language: str
    line: int
    body: str
    exits: frozenset[int]
    prints: tuple[str, ...]
    not_run: str

    @property
    def file(self) -> str:
        """The name in a first line such as `# mine.py`; empty without one."""
        found = FILE.match(self.body.partition("\n")[0])
        return found[1] if found else ""

    @property
    def commands(self) -> list[str]:
        return [line for line in self.body.splitlines() if line] if self.language == "sh" else []


def blocks(text: str) -> list[Block]:
    """All blocks in order. A comment is about the next block: ValueError for one that is about none, or that is not known."""
    found: list[Block] = []
    comments: list[tuple[str, str]] = []
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if comment := COMMENT.match(line):
            comments += [(comment[1], comment[2])] if comment[1] != "numbers" else []
        elif line.startswith("<!--"):
            raise ValueError(f"line {number}: unknown comment {line}")
        elif fence := FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            else:
                raise ValueError(f"line {number}: this block has no end")
            found.append(_block(fence[1], number, "\n".join(body), comments))
            comments = []
        elif line.startswith("#") and comments:
            raise ValueError(f"line {number}: no block follows the comments {comments}")
    if comments:
        raise ValueError(f"no block follows the comments {comments}")
    return found


def _block(language: str, line: int, body: str, comments: list[tuple[str, str]]) -> Block:
    said = {kind: tuple(value for k, value in comments if k == kind) for kind, _ in comments}
    exits, not_run = said.get("exit", ()), said.get("not run", ())
    if (len(exits), len(not_run)) not in ([(1, 0), (0, 1)] if language == "sh" else [(0, 0)]):
        raise ValueError(
            f"line {line}: a block of commands, and only that, says once how it exits, or that it is not run"
        )
    return Block(
        language=language,
        line=line,
        body=body,
        exits=frozenset(int(code) for given in exits for code in given.split(" or ")),
        prints=said.get("prints", ()),
        not_run="".join(not_run),
    )
