"""What is sent between the nodes of a cluster: a step, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capbench.store.store import Content


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A step to carry out.

    step: pickled. version, code: of capbench on the plan's node, the latter of `modules` only. snapshots: by name, of a
    training that was interrupted before.
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
    """The artefact of a step."""

    key: str
    content: Content


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Why a step has no artefact, in one line."""

    why: str
