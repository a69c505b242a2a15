"""What a bundled model, curve or reading is, whatever the version of the code that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capbench.pipeline.steps import Compile, FineTune, Pretrain, Step
from capbench.store.keys import key_of

Bundled = Pretrain | FineTune  # models that may be bundled: base models, and those of `by_default`
_NAMES_CODE = ("architecture", "program", "edit")  # as `name@hash`
_DEFAULT = "full"  # the method of a run that names none


def by_default(step: Step) -> bool:
    """Whether this is a compiled model after full fine-tuning: small, and more than half of a first run."""
    if not isinstance(step, FineTune) or step.method.spec != _DEFAULT or step.method.arguments:
        return False
    origin: Step = step
    while origin.parents:
        origin = origin.parents[0]
        if isinstance(origin, FineTune):
            return False
    return isinstance(origin, Compile)


def independent(step: Step) -> bool:
    """Whether no method had a part in a step's result, or only the default one, on a compiled model (see `by_default`)."""
    return (not isinstance(step, FineTune) or by_default(step)) and all(map(independent, step.parents))


def described(step: Step) -> dict[str, Any]:
    """The configuration of such a step, with that of its start, or base, written out in place of its key."""
    for name in _PARENTS:
        if (parent := getattr(step, name, None)) is not None:
            return {**step.config, name: described(parent)}
    return dict(step.config)


def key_as(config: Mapping[str, Any]) -> str:
    """The key of a step, from its configuration as `described` gives it."""
    written = {name: key_as(config[name]) for name in _PARENTS if isinstance(config.get(name), Mapping)}
    return key_of({**config, **written})


def without_code(config: Mapping[str, Any]) -> str:
    """A hash of a configuration as `described` gives it, in which no code counts."""
    return key_of(_without_code(config))


_PARENTS = ("start", "base")


def _without_code(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {**config, "code": ""}
    found |= {name: str(found[name]).partition("@")[0] for name in _NAMES_CODE if name in found}
    if isinstance(found.get("method"), Mapping):
        found["method"] = {**found["method"], "digest": ""}
    above = [name for name in _PARENTS if name in found]
    for name in above:
        found[name] = _without_code(found[name] or {})
    if not above:
        found.setdefault("architecture", "Gpt")  # before it had a name there was one only
    return found
