"""How a model of known state is made, as data: where it starts, and what is done to it in turn. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from capbench.results import CapabilityState


class Kind(StrEnum):
    """What a model of the pool is by construction. graded: part of the capability is left, so that no plain state is right."""

    WRAPPED = "wrapped"
    DELETED = "deleted"
    INTACT = "intact"
    GRADED = "graded"
    DESTROYED = "destroyed"

    @property
    def verdict(self) -> CapabilityState:
        """The verdict that is right."""
        return CapabilityState.UNDECIDED if self is Kind.GRADED else CapabilityState(self.value)


@dataclass(frozen=True, kw_only=True)
class Tune:
    """A fine-tuning method on the paper's task. on: the stream in place of the target ('retain': pretraining goes on).

    twin: whether the twin goes through it, too. Not what teaches O_PT, nor what only makes up for a start from nothing.
    """

    method: str
    arguments: tuple[tuple[str, float], ...] = ()
    c_tr: float = 1
    lr: str = "medium"
    on: Literal["target", "retain"] = "target"
    twin: bool = True


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A change of weights by hand. edit: `file:function` below capbench.models.edits. asks: it is given prompts for O_PT."""

    edit: str
    arguments: Mapping[str, int | float | str] = field(default_factory=dict)
    asks: bool = False
    adds_blocks: int = 0


@dataclass(frozen=True, kw_only=True)
class Teach:
    """The model as it is so far teaches a fresh one, which is then the result.

    times: steps, as a multiple of fine-tuning's. lr_factor: of the medium rate.
    """

    times: float
    lr_factor: float


Link = Tune | Rewrite | Teach
Start = Literal["low", "high", "never", "others", "initial"]


@dataclass(frozen=True, kw_only=True)
class Making:
    """One way to make a model of a kind.

    start: the base model's prior, or 'initial' for a random initialisation. known: why the state is known, in words.
    against: the tools that it was built to fool; it is no part of their areas, and listed by itself. rewritten: whether a
    random composition of rewrites that keep the function comes on top.
    """

    name: str
    kind: Kind
    start: Start
    links: tuple[Link, ...]
    known: str
    against: frozenset[str] = frozenset()
    rewritten: bool = False

    @property
    def never_had_it(self) -> bool:
        """Whether it starts from a model that was never taught O_PT: its tools' zeros are then models of another seed."""
        return self.start in ("never", "others", "initial") or any(isinstance(link, Teach) for link in self.links)
