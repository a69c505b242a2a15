"""A test's parameters as a record shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_numbers(case: Mapping[str, Any], rates: Mapping[str, float], steps: int) -> Mapping[str, Any]:
    """A case's parameters, with the learning rate and the number of steps behind the paper's name of a rate."""
    if "lr" not in case:
        return dict(case)
    return {**case, "eta": rates[case["lr"]], "steps": steps}
