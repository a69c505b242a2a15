"""Whether the residual stream of a compiled Counter still holds its count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Grid, Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.seeds import subseed
from capbench.studies.tracr.readings.common import (
    TITLES,
    answers_of,
    dimensions,
    operands,
    picture,
    rounded,
    sampled,
    words_of,
)

AFTER_BLOCK = 1  # the block that computes the count

if TYPE_CHECKING:
    from torch import Tensor

    from capbench.studies.tracr.study import TracrStudy
    from capbench.tasks.splits import Split


def circuit(
    bench: Bench[TracrStudy], base: Built, tuned: Built, never: Built, twin: Built | None = None
) -> Iterator[Measurement]:
    """Counter: can the count still be read, linearly, where the compiled program has it? (Def. 1; Fig. 46, 53)

    `circuit.retention` of O_PT: 0 as in the twin (the model compiled for O_FT, after the same method; without one, that model
    itself), 1 as in the compiled model, on the scale of `circuit.<model>.<O_PT | O_FT>`: accuracy of a linear read-out of the
    operand's count from the residual stream after block 1 at the answer position, C_Te 0. It is fitted on the selection split, to
    the whitened stream, so that neither another name for each count nor a bias, nor another basis, hides a count. And the
    activations of one string, in the dimensions that the program writes its count to.
    """
    models = {"base": base, "tuned": tuned, "never": never, **({} if twin is None else {"twin": twin})}
    found: dict[str, float] = {}
    n = bench.study.preset.n_evaluate
    for name, built in models.items():
        for operand, value in _read_out(bench, built).items():
            found[f"{name}.{operand}"] = value
            yield number(bench, f"circuit.{name}.{operand}", value, "accuracy", n, "activations")
        if name != "twin":
            yield _activations(bench, built, TITLES[name])
    zero = found["never.O_PT" if twin is None else "twin.O_PT"]
    range_ = found["base.O_PT"] - zero
    retention = (found["tuned.O_PT"] - zero) / range_ if range_ > 0 else None
    note = "" if range_ > 0 else "the compiled model holds no more than one compiled for O_FT"
    yield number(bench, "circuit.retention", retention, "retention", n, "activations", note=note)


def _read_out(bench: Bench[TracrStudy], built: Built) -> dict[str, float]:
    """Accuracy of the read-out of each operand's count."""
    from capbench.measure.accuracy import sample
    from capbench.measure.probe import Probe, features

    study = bench.study
    samples: dict[Split, int] = {"select": study.preset.n_select, "evaluate": study.preset.n_evaluate}
    x: dict[Split, Tensor] = {}
    counts: dict[str, dict[Split, Tensor]] = {operand: {} for operand, _ in operands(bench)}
    for split, n in samples.items():
        for operand, letter in operands(bench):  # the same strings for both: the seed does not depend on it
            task = study.evaluation(letter, c_te=0, split=split)
            batch = sample(task, n, subseed(bench.seed, f"circuit {split}"))
            counts[operand][split] = answers_of(task, batch)
        x[split] = features(built.model, batch, task.answer_pos)[AFTER_BLOCK + 1][None]
    classes = 1 + max(int(labels.max()) for of in counts.values() for labels in of.values())
    return {
        operand: Probe.fitted(x["select"], labels["select"], classes).accuracy(x["evaluate"], labels["evaluate"]).item()
        for operand, labels in counts.items()
    }


def _activations(bench: Bench[TracrStudy], built: Built, title: str) -> Measurement:
    """The dimensions of the count, on one string."""
    task, batch = sampled(bench, "O_PT", 0)
    tokens = batch.tokens[:1]
    held = dimensions(built, tokens, "count", after_block=AFTER_BLOCK)[0]
    grid = Grid(
        values=rounded(held.T),
        rows=tuple(f"count:{i}" for i in range(held.shape[-1])),
        columns=words_of(task, tokens[0]),
        row_label="residual dimension",
        column_label="position",
    )
    return picture(bench, "activations", f"{title}, after block {AFTER_BLOCK}", "activation", grid)
