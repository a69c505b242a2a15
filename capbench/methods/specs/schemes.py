"""The table of schemes: all ways to write a method spec. A new scheme is a file beside this one and a row here.

A name from an entry point or a hook is not a scheme: it stands for a spec of one of these (names.py).
"""

from __future__ import annotations

from capbench.errors import UsageError
from capbench.methods.specs.base import Scheme
from capbench.methods.specs.built_in import BuiltIn
from capbench.methods.specs.checkpoints import Checkpoints
from capbench.methods.specs.file import File
from capbench.methods.specs.module import Module
from capbench.methods.specs.peft import Peft

# The first that matches counts: `peft:x` would also be a module and an attribute.
SCHEMES: tuple[Scheme, ...] = (BuiltIn(), Checkpoints(), Peft(), File(), Module())


def scheme_of(spec: str) -> Scheme:
    """The scheme of a spec. Raises UsageError if it is written in none of the known ways."""
    for scheme in SCHEMES:
        if scheme.matches(spec):
            return scheme
    raise UsageError(f"method {spec!r} is not of the form {forms()}")


def forms() -> str:
    """All forms but built-in names, for messages: the common ones first."""
    *others, last = [scheme.form for scheme in reversed(SCHEMES) if not isinstance(scheme, BuiltIn)]
    return f"{', '.join(others)} or {last}"
