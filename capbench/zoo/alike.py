"""What a bundled model, curve or reading is, whatever the version of the code that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capbench.pipeline.steps import FineTune, Step
from capbench.store.keys import key_of

_NAMES_CODE = ("architecture", "program", "edit")  # as `name@hash`


def independent(step: Step) -> bool:
    """Whether no method had a part in a step's result: there is no fine-tuning among it and what it is made from."""
    return not isinstance(step, FineTune) and all(map(independent, step.parents))


def described(step: Step) -> dict[str, Any]:
    """The configuration of such a step, with that of its start written out in place of the start's key."""
    start: Step | None = getattr(step, "start", None)
    return dict(step.config) if start is None else {**step.config, "start": described(start)}


def without_code(config: Mapping[str, Any]) -> str:
    """A hash of a configuration as `described` gives it, in which no code counts."""
    return key_of(_without_code(config))


def _without_code(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {**config, "code": ""}
    found |= {name: str(found[name]).partition("@")[0] for name in _NAMES_CODE if name in found}
    if "start" in found:
        found["start"] = _without_code(found["start"] or {})
    else:
        found.setdefault("architecture", "Gpt")  # before it had a name there was one only
    return found
