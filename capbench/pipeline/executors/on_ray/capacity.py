"""How many steps a cluster can run at a time, given its cores and GPUs. Needs no Ray."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from capbench.pipeline.steps import Step, Training

_AHEAD = 200
_ROUNDING = 1e-6  # so that 1 / 0.1 counts as ten


def ahead(cores: int) -> int:
    """How many steps a cluster with so many cores is handed at a time: enough that none is idle while steps wait for others.

    Each holds a lock, which is an open file: at most half of those that this process may have.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return _AHEAD
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_AHEAD, 2 * cores if files == resource.RLIM_INFINITY else min(2 * cores, files // 2))


def on_gpu(step: Step) -> bool:
    """Whether the step needs a share of a GPU."""
    return isinstance(step, Training) and step.train.device != "cpu"


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Every step takes one core; a step on a GPU also takes a share of one GPU, which cannot be split over several.

    cores, gpus: totals over all nodes. share: of a GPU per step, above 0 and at most 1.
    """

    cores: int
    gpus: int
    share: float

    @classmethod
    def of(cls, resources: Mapping[str, float], share: float) -> Capacity:
        """The capacity of a cluster, from `ray.cluster_resources()`."""
        return cls(cores=int(resources.get("CPU", 0)), gpus=int(resources.get("GPU", 0)), share=share)

    @property
    def on_gpus(self) -> int:
        """Steps that fit on the GPUs at a time."""
        return self.gpus * int(1 / self.share + _ROUNDING)

    def must_wait(self, step: Step, running: Collection[Step]) -> bool:
        """Whether the step would wait for one of the running ones. False for a step that could never begin."""
        if len(running) >= self.cores:
            return True
        return on_gpu(step) and self.gpus > 0 and sum(map(on_gpu, running)) >= self.on_gpus
