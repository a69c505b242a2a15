"""The methods that come with capbench: the modules of two packages, each with a function of its own name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from capbench.methods.specs.base import Located, Method, Scheme
from capbench.methods.specs.module import Module

_PACKAGES = ("capbench.methods.finetuning", "capbench.methods.deletion")  # in which every module is a method


def _modules() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        for file in sorted(Path(__file__).parents[3].joinpath(*package.split(".")).glob("[!_]*.py")):
            yield file.stem.replace("_", "-"), f"{package}.{file.stem}:{file.stem}"


# `last-k` is the function last_k in last_k.py: a new method is one file. The default comes first.
BUILT_IN = dict(sorted(_modules(), key=lambda found: found[0] != "full"))


class BuiltIn(Scheme):
    """`lora`: a name in BUILT_IN, which stands for a module's function. It consists of no file of the user's."""

    form = "a built-in name"
    users = False
    _module = Module()

    def matches(self, spec: str) -> bool:
        """Whether it is a built-in name."""
        return spec in BUILT_IN

    def find(self, spec: str) -> Located:
        """The module's function, under the built-in name."""
        return replace(self._module.find(BUILT_IN[spec]), spec=spec)

    def load(self, spec: str, name: str) -> Method:
        """Import the module of capbench."""
        return self._module.load(BUILT_IN[spec], name)

    def function(self, spec: str) -> str:
        """That of the module."""
        return self._module.function(BUILT_IN[spec])
