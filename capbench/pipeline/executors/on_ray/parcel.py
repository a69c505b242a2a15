"""What travels between the nodes of a cluster: a step, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capbench.store.store import Content


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A step that is to be made.

    step: pickled. version, code: of capbench where the plan is, the latter of `modules` only. snapshots: by name, of a
    training that was interrupted there.
    """

    key: str
    label: str
    step: bytes
    version: str
    code: str
    modules: frozenset[str]
    snapshots: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Made:
    """An artefact."""

    key: str
    content: Content


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Why there is none, in one line."""

    why: str
