"""What else fine-tuning changed: read off every fine-tuned model that a claim looks at, and what it means for the claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from capbench.pipeline.steps import FineTune, Step
from capbench.results import Measurement
from capbench.studies.base import Study
from capbench.studies.lab import Bench, Lab
from capbench.verdicts.by_seed import behaviour_on
from capbench.verdicts.collateral import everything_lost, in_words, shares
from capbench.verdicts.tools import GONE, Toolbox
from capbench.verdicts.values import by_name

TWIN = "twin"  # the role of a never-taught model after the method: a control, which nothing is claimed about


def measured(lab: Lab, bench: Bench[Study], steps: Mapping[str, Step]) -> Iterator[Measurement]:
    """The toolbox's reading of collateral damage, for each fine-tuned model by its name; nothing where there is no such reading.

    Not for a twin: no verdict counts what a control loses. It is kept without the name, so that claims that call a model
    differently share it.
    """
    reading = bench.study.toolbox.collateral
    for name, step in _asked_about(steps).items():
        if reading is not None:
            for m in lab.read(reading, bench, {"base": _pretrained(step), "tuned": step}):
                yield replace(m, name=name + m.name.removeprefix("tuned"))


def destroyed(
    measurements: Iterable[Measurement], toolbox: Toolbox, steps: Mapping[int, Mapping[str, Step]]
) -> dict[int, str]:
    """The seeds on which a fine-tuned model lost the capability and everything else, and what is left of it, in words."""
    values = by_name(measurements)
    found: dict[int, str] = {}
    for seed, by_role in steps.items():
        for name in _asked_about(by_role):
            behaviour, others = behaviour_on(values, toolbox, seed, name), shares(values, name).get(seed, {})
            if behaviour is not None and behaviour <= GONE and everything_lost(others):
                found.setdefault(
                    seed, f"'{name}' answers O_PT with accuracy {behaviour:.2f}, all else with {in_words(others)}"
                )
    return found


def _pretrained(step: FineTune) -> Step:
    """What a model was before any fine-tuning."""
    found = step.base
    while isinstance(found, FineTune):
        found = found.base
    return found


def _asked_about(steps: Mapping[str, Step]) -> dict[str, FineTune]:
    """The fine-tuned models but for twins. A known model's role comes after its place, as in `wrapped.1/twin`."""
    return {n: step for n, step in steps.items() if isinstance(step, FineTune) and n.rpartition("/")[2] != TWIN}
