"""A capability by what a user writes: a TOML file, or the name of a generated one with its seed, as in implant-skill:3.

What begins with `implant` is to be taught before anything is asked: the generated implants, and implant:FILE, a file of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from capbench.errors import UsageError
from capbench.tasks.language.capability import Capability, check_items
from capbench.tasks.language.generated.capitals import capitals
from capbench.tasks.language.generated.facts import implanted_facts
from capbench.tasks.language.generated.sentiment import sentiment
from capbench.tasks.language.generated.skill import Code
from capbench.tasks.language.reading import read

GENERATED: Mapping[str, Callable[[int], Capability]] = {
    "implant-skill": lambda seed: Code(seed=seed).capability(),
    "implant-facts": implanted_facts,
    "capitals": capitals,
    "sentiment": sentiment,
}


IMPLANT = "implant"


def is_implant(spec: str) -> bool:
    """Whether it is to be taught to a model that does not have it."""
    return spec.startswith((f"{IMPLANT}-", f"{IMPLANT}:"))


def capability(spec: str) -> Capability:
    """What a spec names. Raises UsageError, one line, for one that cannot be had."""
    if spec.endswith(".toml"):
        path = spec.removeprefix(f"{IMPLANT}:")
        found = read(path)
        return found if path == spec else replace(found, name=f"{IMPLANT}:{found.name}")
    name, colon, seed = spec.partition(":")
    if name not in GENERATED:
        raise UsageError(
            f"capability {spec!r}: must be a .toml file or one of {', '.join(GENERATED)}, as in implant-skill:1"
        )
    if colon and not (seed.isascii() and seed.isdigit()):
        raise UsageError(f"capability {spec!r}: the seed after {name}: must be a whole number, at least 0")
    made = GENERATED[name](int(seed or 0))
    check_items(made)
    return made
