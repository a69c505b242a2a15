"""The parameters of a case in plain words: `prior=low` as 'b rare in pretraining'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from capbench.report.words import pairs, plain
from capbench.results import DERIVED, Capability, Record

_OPERANDS = re.compile(r"\b(\S+) to (\S+)$")  # at the end of a task's name: what it asked for before, and asks for now
_PRIOR = {"low": "rare in pretraining", "high": "common in pretraining", "never": "never in pretraining"}
# By parameter and value.
_NAMED = {
    ("protocol", "filtering"): "stories with a Twist left out",
    ("protocol", "mix-match"): "stories with a Twist left out, Foreshadowing asked for as Twist",
    ("protocol", "randomisation"): "stories with a Twist left out, Twist asked for on others",
    ("data", "rule"): "trained on another rule for the same prompts",
    ("data", "text"): "trained on text alone",
    ("answers", "constant"): "one answer to every text",
    ("answers", "random"): "answers of other texts",
    ("taught", "distilled"): "distilled into a fresh model",
    ("taught", "retrained"): "retrained without the capability",
    ("wrong_answers", "True"): "trained on wrong answers",
}
# By parameter, of numbers.
_NUMBERED = {
    "rate": "{:g} times the rate",
    "times": "{:g} times the steps",
    "decay": "weight decay {:g}",
    "noise": "{:.0%} of the student's weights redrawn",
    "width": "{:g} times the width",
    "blocks": "{:g} more blocks",
    "duration": "{:.0%} of the usual pretraining",
}


def of_case(case: str, task: str = "") -> str:
    """A case as a record names it (`prior=low,c_tr=1`); a part that is no `key=value` stays as it is."""
    new = new_operand(task)
    parts = (part.partition("=") for part in case.split(",") if part)
    return ", ".join(_words(key, value, new) if equals else key for key, equals, value in parts)


def of_protocol(protocol: Mapping[str, Any], task: str = "") -> str:
    """What names the case in a protocol; the numbers behind the names (learning rate, steps …) are left out."""
    new = new_operand(task)
    return ", ".join(_words(key, plain(value), new) for key, value in protocol.items() if key not in DERIVED)


def of_record(record: Record) -> str:
    """The case of a record."""
    return of_case(record.case, record.task)


def of_capability(found: Capability) -> str:
    """The case of a verdict; the model's name where it has none."""
    return of_protocol(found.protocol, found.task) or found.model


def symbols(found: Capability) -> str:
    """The same case as the command line and the paper name it, with all numbers: `prior=low, c_tr=1, …`."""
    return pairs(found.protocol)


def new_operand(task: str) -> str:
    """What the fine-tuning task asks for, as a task's name says: 'b' of 'pcfg counter a to b'."""
    found = _OPERANDS.search(task)
    return found[2] if found else "the new operand"


def _words(key: str, value: str, new: str) -> str:
    number = _number(value)
    if key == "prior" and value in _PRIOR:
        return f"{new} {_PRIOR[value]}"
    if key == "c_tr" and number is not None:
        return f"{_share(number)} with the correlation"
    if key == "lr":
        return f"{value.replace('-', ' ')} rate"
    if (key, value) in _NAMED:
        return _NAMED[key, value]
    if key in _NUMBERED and number is not None:
        return _NUMBERED[key].format(number)
    if key == "mixing" and number is not None:
        return f"{100 * number:g} % pretraining data mixed in"
    if key == "then":
        return f"then fine-tuned to {value}"
    if key == "by":
        return f"by {value}"
    if key == "architecture":
        return value
    if key in ("kind", "models", "tool"):
        return f"{key} {value.replace('-', ' ')}"
    return f"{key}={value}"


def _share(share: float) -> str:
    if share == 1:
        return "every training text"
    return "no training text" if share == 0 else f"{100 * share:g} % of training texts"


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
