"""One model of the pool, with the models that its tools compare it with. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capbench.pipeline.steps import Step
from capbench.studies.base import FineTuningStudy
from capbench.studies.calibration.making import Kind
from capbench.studies.tracr.study import TracrCounter


@dataclass(frozen=True, kw_only=True, eq=False)  # each is itself: a key of dictionaries
class Member:
    """slot: its place in a seed's pool, as in `wrapped.2`. made: how. study: the experiment that it is a model of.

    models: by role: base, tuned, never, twin and what else its tools are given, curves of revivals included. before: what
    `tuned` was before anything was done to it, for what else broke. against: the tools that it was built to fool.
    """

    slot: str
    made: str
    kind: Kind
    study: FineTuningStudy
    models: Mapping[str, Step]
    before: Step
    known: str
    against: frozenset[str] = frozenset()

    @property
    def compiled(self) -> bool:
        return isinstance(self.study, TracrCounter)

    @property
    def task(self) -> str:
        name = type(self.study).__name__.replace("Pcfg", "").replace("TracrCounter", "compiled counter")
        return name.lower()

    @property
    def name(self) -> str:
        """Kind, making and task, as in `wrapped.bolt-on MLP.indexer`. It has no other full stops."""
        return f"{self.kind}.{self.made}.{self.task}"

    @property
    def steps(self) -> Mapping[str, Step]:
        """All its models, by `<slot>/<role>`."""
        return {f"{self.slot}/{role}": step for role, step in {**self.models, "before": self.before}.items()}
