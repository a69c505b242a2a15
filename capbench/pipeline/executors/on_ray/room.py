"""How many steps a cluster can be at, at a time: by its cores, and by its GPUs for those that train on one. Needs no Ray."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from capbench.pipeline.steps import Step, Training

_ROUNDING = 1e-6  # 1 / 0.1 is ten, whatever floats make of it


def on_gpu(step: Step) -> bool:
    """Whether the step asks for a share of a GPU."""
    return isinstance(step, Training) and step.train.device != "cpu"


@dataclass(frozen=True, kw_only=True)
class Room:
    """Every step takes one core; one on a GPU also its share of one GPU, which shares of several GPUs do not make up.

    cores: of all nodes. gpus: of all nodes; 0 for none. share: of a GPU, above 0 and at most 1.
    """

    cores: int
    gpus: int
    share: float

    @classmethod
    def of(cls, resources: Mapping[str, float], share: float) -> Room:
        """That of a cluster, given what `ray.cluster_resources()` says."""
        return cls(cores=int(resources.get("CPU", 0)), gpus=int(resources.get("GPU", 0)), share=share)

    @property
    def on_gpus(self) -> int:
        """Steps on GPUs at a time."""
        return self.gpus * int(1 / self.share + _ROUNDING)

    def waits(self, step: Step, beside: Collection[Step]) -> bool:
        """Whether the step would wait for one of those that the cluster is at. Where it could never begin, it does not."""
        if len(beside) >= self.cores:
            return True
        return on_gpu(step) and self.gpus > 0 and sum(map(on_gpu, beside)) >= self.on_gpus
