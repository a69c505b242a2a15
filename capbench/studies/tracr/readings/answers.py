"""What compiled models answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.readings import accuracy_number, by_model
from capbench.studies.tracr.readings.common import answers_of, sampled

if TYPE_CHECKING:
    from capbench.studies.tracr.study import TracrStudy


def accuracies(bench: Bench[TracrStudy], model: Built) -> Iterator[Measurement]:
    """Accuracy of one model on O_PT and O_FT: what `behaviour` is made of."""
    from capbench.measure.accuracy import predictions

    for c_te in (0, 1):
        task, batch = sampled(bench, "O_PT", c_te)
        right = {"O_PT": answers_of(task, batch), "O_FT": answers_of(*sampled(bench, "O_FT", c_te))}
        given = predictions(model.model, task, batch)
        for operand, answers in right.items():
            value = float((given == answers).float().mean())
            yield accuracy_number(bench, f"{operand}.c_te{c_te}", value, len(given))


@made_of(accuracies)
def behaviour(bench: Bench[TracrStudy], **models: Built) -> Iterator[Measurement]:
    """Accuracy of each model on O_PT and O_FT, on the same strings: `<model>.O_PT.c_te0` and so on (Table 3).

    There is no prompt: both operands' answers are looked for in the one answer that the model gives.
    """
    yield from by_model(bench, accuracies, models)
