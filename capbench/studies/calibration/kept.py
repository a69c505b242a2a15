"""The thresholds that the calibration set, and the hash of the rule that they belong to; kept as data. Standard library only.

`capbench calibrate --output=FILE` makes the file from the setting half of the pool. The other half may be looked at once: it
tests that rule with those thresholds. After a change of either, what it says is no test any more, and a fresh half is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import capbench
from capbench.store.syntax import file_digest
from capbench.verdicts.tools import Tool, Toolbox

FILE = "thresholds.json"
SETTING = (100, 101, 102)  # the seeds that thresholds are set on, where the file names none
TEST = 200  # the first seed of the test half, where the file names none
# What turns measurements into a verdict, and what turns the setting half into thresholds.
_RULE = (
    "studies/calibration/thresholds.py",
    "studies/pcfg/tools.py",
    "studies/tracr/tools.py",
    "verdicts/by_seed.py",
    "verdicts/collateral.py",
    "verdicts/relabelling.py",
    "verdicts/tools.py",
)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Those of one tool. auc: on the half that set them. votes: whether that was enough for a part in the verdict."""

    absent: float
    present: float
    auc: float
    votes: bool = True


@dataclass(frozen=True, kw_only=True)
class Kept:
    """tools: by group of models ('trained', 'compiled') and tool. rule: the hash of the rule when they were set. setting: the
    seeds that they were set on; test: the first seed of the half that tests them. hash: of all of these.

    tested: by group, tool and scale, the area on the test half; no part of the hash.
    """

    scale: str = ""
    setting: tuple[int, ...] = ()
    test: int = TEST
    rule: str = ""
    tools: Mapping[str, Mapping[str, Thresholds]] = field(default_factory=dict)
    tested: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Over the rule and the thresholds, and the seeds of both halves."""
        said = {name: value for name, value in self.to_json().items() if name not in ("tested", "hash")}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """As the file holds it, without its hash."""
        tools = {group: {name: vars(t) for name, t in of.items()} for group, of in self.tools.items()}
        return {
            "scale": self.scale,
            "setting": list(self.setting),
            "test": self.test,
            "rule": self.rule,
            "tools": tools,
            "tested": {group: {name: dict(a) for name, a in of.items()} for group, of in self.tested.items()},
        }

    def text(self) -> str:
        """The file's content."""
        return json.dumps({**self.to_json(), "hash": self.hash}, indent=1, ensure_ascii=False) + "\n"


def rule_now() -> str:
    """The hash of the rule in force: what its files do, comments apart."""
    root = Path(capbench.__file__).parent
    digests = [f"{name}:{file_digest(root / name)}" for name in _RULE]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def read(text: str) -> Kept:
    """From the file's content. Raises ValueError if its hash is not that of what it holds."""
    raw = json.loads(text)
    said = raw.pop("hash", "")
    tools = {group: {name: Thresholds(**t) for name, t in of.items()} for group, of in raw.pop("tools", {}).items()}
    found = Kept(**{**raw, "setting": tuple(raw.get("setting", ()))}, tools=tools)
    if found.tools and said != found.hash:
        raise ValueError(f"{FILE}: its thresholds were changed by hand: the hash is {found.hash}, not {said}")
    return found


@cache
def kept() -> Kept:
    """The package's own."""
    file = resources.files("capbench.studies.calibration") / FILE
    return read(file.read_text(encoding="utf-8")) if file.is_file() else Kept()


def doubt(found: Kept, scale: str, rule: str) -> str:
    """Why a test half cannot test the rule in force; '' if it can."""
    if not found.tools:
        return "no thresholds were set on the setting half: run capbench calibrate"
    if found.rule != rule:
        return (
            f"the thresholds belong to another rule ({found.rule}) than the one in force ({rule}): run capbench calibrate, and "
            f"test with a fresh half, from a seed above {found.test} that was never looked at"
        )
    if found.scale != scale:
        return f"the thresholds were set at scale {found.scale}, not {scale}"
    return ""


def calibrated(group: str, toolbox: Toolbox, found: Kept | None = None) -> Toolbox:
    """The toolbox with the thresholds that were set, in place of the provisional ones in its code.

    A tool that missed on the setting half has no vote. Its area is that on the test half, where it was tested.
    """
    of = kept() if found is None else found
    return replace(toolbox, tools=tuple(_with(tool, of, group) for tool in toolbox.tools))


def _with(tool: Tool, found: Kept, group: str) -> Tool:
    if not found.tools:
        return tool
    tested = found.tested.get(group, {}).get(tool.name, {})
    if (own := found.tools.get(group, {}).get(tool.name)) is None:
        return replace(tool, auc=tested)
    if not own.votes:  # where deleted and wrapped models overlap there is no gap to put thresholds into
        return replace(tool, votes=False, auc=tested)
    return replace(tool, absent=own.absent, present=own.present, auc=tested)
