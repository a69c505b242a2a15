"""How many models train at a time: processes, or models in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capbench.errors import UsageError
from capbench.pipeline.cores import available_cores
from capbench.session.options.given import Given

_STACK = 16  # models in one pass on a GPU


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """Trainings at a time: so many processes, one core each; or so many models, if they are alike, in one pass here."""

    jobs: int = 1
    stack: int = 1


def at_once(given: Given, found: Mapping[str, Any], *, workers: int = 1) -> AtOnce:
    """By default a process for every core; a GPU, which one model leaves idle, is filled by a stack in one process.

    found: the checked values. workers: processes that share the cores. Raises UsageError for numbers that do not go together.
    """
    cuda, ray = found["device"] == "cuda", found.get("executor") == "ray"
    models = 1 if ray else found.get("stack") or (_STACK if cuda else 1)
    here = not ray and (models > 1 or cuda)
    jobs = found.get("jobs") or (1 if here else max(1, available_cores() // workers))
    if here and jobs > 1 and cuda:
        more = f"; {given.typed('stack')}=N sets how many models train in one pass (now {models})"
        said = "on cuda a single process trains all models; omit this option"
        raise UsageError(f"{given.shown('jobs')}: {said}{more if 'stack' in found else ''}")
    if here and jobs > 1:
        raise UsageError(
            f"{given.shown('jobs')} cannot be combined with {given.shown('stack')}: models in one pass train in one process; "
            "omit one of them"
        )
    return AtOnce(jobs=jobs, stack=models)
