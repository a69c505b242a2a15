"""Whether the residual stream of a compiled Counter still holds its count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Grid, Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.seeds import subseed
from capbench.studies.tracr.readings.common import TITLES, answers_of, dimensions, operands, picture, rounded, words_of

if TYPE_CHECKING:
    from torch import Tensor

    from capbench.studies.tracr.study import TracrStudy
    from capbench.tasks.splits import Split


def circuit(bench: Bench[TracrStudy], base: Built, tuned: Built, never: Built) -> Iterator[Measurement]:
    """Counter: do the residual dimensions that the compiled program writes its count to still tell it? (Fig. 46, 53)

    `circuit.retention` of O_PT: 0 as in a model compiled for O_FT, 1 as in the compiled model, on the scale of
    `circuit.<model>.<O_PT | O_FT>`: accuracy of reading the operand's count off the largest of these dimensions after block
    1 at the answer position, C_Te 0: possession by a read-out (Def. 1). Which count each dimension stands for is taken
    from the selection split, since a wrapper may well have moved all by one. And the activations of one string.
    """
    from capbench.measure.accuracy import sample

    study = bench.study
    models = {"base": base, "tuned": tuned, "never": never}
    read: dict[str, dict[str, Tensor]] = {}
    found: dict[str, float] = {}
    counts: dict[str, dict[str, Tensor]] = {}
    samples: dict[Split, int] = {"select": study.preset.n_select, "evaluate": study.preset.n_evaluate}
    for split, n in samples.items():
        seed = subseed(bench.seed, f"circuit {split}")
        tasks = {o: study.evaluation(operand, c_te=0, split=split) for o, operand in operands(bench)}
        batches = {o: sample(task, n, seed) for o, task in tasks.items()}
        counts[split] = {o: answers_of(tasks[o], batch) for o, batch in batches.items()}
        task, tokens = tasks["O_PT"], batches["O_PT"].tokens
        held = {name: dimensions(built, tokens, "count", after_block=1) for name, built in models.items()}
        read[split] = {name: values[:, task.answer_pos].argmax(-1) for name, values in held.items()}
    for name in models:
        for operand in ("O_PT", "O_FT"):
            stands_for = _most_common(read["select"][name], counts["select"][operand], held[name].shape[-1])
            value = float((stands_for[read["evaluate"][name]] == counts["evaluate"][operand]).float().mean())
            found[f"{name}.{operand}"] = value
            yield number(bench, f"circuit.{name}.{operand}", value, "accuracy", len(tokens), "activations")
        grid = Grid(
            values=rounded(held[name][0].T),
            rows=tuple(f"count:{i}" for i in range(held[name].shape[-1])),
            columns=words_of(task, tokens[0]),
            row_label="residual dimension",
            column_label="position",
        )
        yield picture(bench, "activations", f"{TITLES[name]}, after block 1", "activation", grid)
    range_ = found["base.O_PT"] - found["never.O_PT"]
    yield number(
        bench,
        "circuit.retention",
        (found["tuned.O_PT"] - found["never.O_PT"]) / range_ if range_ > 0 else None,
        "retention",
        len(tokens),
        "activations",
        note="" if range_ > 0 else "the compiled model holds no more than one compiled for O_FT",
    )


def _most_common(keys: Tensor, values: Tensor, n_keys: int) -> Tensor:
    """[key]: the value that each key goes with most often; 0 where it never occurs."""
    import torch

    table = torch.zeros(n_keys, int(values.max()) + 1, dtype=torch.long)
    table.index_put_((keys, values), torch.ones_like(keys), accumulate=True)
    return table.argmax(-1)
