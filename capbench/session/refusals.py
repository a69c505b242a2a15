"""Methods that refuse a model, found before that model is trained."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from capbench.methods.specs.schemes import scheme_of
from capbench.pipeline.steps import Edit, FineTune, Initialise, Load, Step


class Refusals:
    """Asks each method once about each form of a base model."""

    def __init__(self) -> None:
        self._said: dict[tuple[Any, ...], str] = {}

    def of(self, steps: Iterable[Step]) -> dict[str, str]:
        """Step key -> why its method would refuse its base model, for the fine-tunings where that shows without training."""
        said = {step.key: self._of(step) for step in steps if isinstance(step, FineTune)}
        return {key: why for key, why in said.items() if why}

    def _of(self, step: FineTune) -> str:
        origin = step.base
        while not isinstance(origin, (Initialise, Load)):
            if isinstance(origin, Edit) or not origin.parents:
                return ""  # only making the model would tell its form
            origin = origin.parents[0]
        asked = (step.method, origin.architecture, origin.model)
        if asked not in self._said:
            self._said[asked] = _asked(step, origin)
        return self._said[asked]


def _asked(step: FineTune, origin: Initialise | Load) -> str:
    def model() -> Any:
        import torch

        module, _, name = origin.architecture.partition(":")
        architecture: Any = getattr(importlib.import_module(module), name)
        if isinstance(origin, Load):
            return architecture(origin.model).eval()  # its form tells; its weights need not be read
        return architecture.initialised(origin.model, torch.Generator().manual_seed(origin.seed)).eval()

    try:
        return scheme_of(step.method.spec).refusal(step.method.spec, model)
    except Exception:  # a model that cannot be initialised: making it will say so
        return ""
