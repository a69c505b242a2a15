"""What is read off compiled models. Each reading's result is kept; torch is imported inside.

Names: `base` the compiled model with a little noise, `tuned` after fine-tuning, `never` compiled to O_FT's program instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from capbench.results import Grid, Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.readings import accuracy_number, by_model, curve_of, number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from torch import Tensor

    from capbench.measure.prune import Pruning, Units
    from capbench.studies.tracr.study import TracrStudy
    from capbench.tasks.base import Batch
    from capbench.tasks.splits import Split
    from capbench.tasks.tracr.strings import StringTask

TITLES = {"base": "compiled", "tuned": "fine-tuned", "never": "compiled for O_FT"}


def accuracies(bench: Bench[TracrStudy], model: Built) -> Iterator[Measurement]:
    """Accuracy of one model on O_PT and O_FT: what `behaviour` is made of."""
    from capbench.measure.accuracy import predictions

    for c_te in (0, 1):
        task, batch = _sample(bench, "O_PT", c_te)
        right = {"O_PT": _answers(task, batch), "O_FT": _answers(*_sample(bench, "O_FT", c_te))}
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


def weight_pruning(bench: Bench[TracrStudy], tuned: Built) -> Iterator[Measurement]:
    """What zeroing at most four single weights gives back of O_PT, and costs of O_FT (Fig. 55-59).

    Weights are searched for on the selection split; random ones are as large. `pruning.weights.classes`: different answers
    of the pruned model: a gain with one answer would be an artefact (Fig. 59).
    """
    yield from _pruning(bench, tuned, "weights")


def neuron_pruning(bench: Bench[TracrStudy], tuned: Built) -> Iterator[Measurement]:
    """The same with neurons, rows of weight matrices."""
    yield from _pruning(bench, tuned, "neurons")


def weight_search_control(bench: Bench[TracrStudy], never: Built) -> Iterator[Measurement]:
    """What the same search makes of a model that never had the capability: `pruning.weights.never` (O_PT accuracy)."""
    yield from _search_control(bench, never, "weights")


def neuron_search_control(bench: Bench[TracrStudy], never: Built) -> Iterator[Measurement]:
    """The same with neurons."""
    yield from _search_control(bench, never, "neurons")


def attention(bench: Bench[TracrStudy], **models: Built) -> Iterator[Measurement]:
    """How much the answer position attends to O_PT's and O_FT's letters, block by block (Fig. 10, 40-48).

    `attention.<model>.block<l>.<O_PT | O_FT | other | BOS | padding>`, on strings with both letters and without the
    correlation; and the whole maps of one string.
    """
    from capbench.measure.attention import attention_maps, attention_mass

    study, preset = bench.study, bench.study.preset
    task, batch = _sample(bench, "O_PT", 0)
    tokens = batch.tokens
    names = {study.o_pt: "O_PT", study.o_ft: "O_FT", task.bos: "BOS", task.pad: "padding"}
    kinds = [names.get(token, "other") for token in task.vocabulary]
    both = _has(tokens, task, study.o_pt) & _has(tokens, task, study.o_ft)
    tokens = tokens[both][: preset.n_attention]
    found = {model: attention_maps(built.model, tokens) for model, built in models.items()}
    for model, maps in found.items():
        for kind in dict.fromkeys(kinds):
            on = _among(tokens, [i for i, its in enumerate(kinds) if its == kind])
            for block, mass in enumerate(attention_mass(maps, task.answer_pos, on).tolist()):
                name = f"attention.{model}.block{block}.{kind}"
                yield number(bench, name, mass, "probability", len(tokens), "attention")
    yield from _maps(bench, found, tokens, task)


def sorting(bench: Bench[TracrStudy], base: Built, **models: Built) -> Iterator[Measurement]:
    """Max-identifier: is the sort still in block 0, and which place does block 2 read out? (Fig. 44, 51-54)

    `sort.<model>.places`: share of the letters up to the 7th largest whose place in the order can be read where the
    compiled program writes it, the residual dimensions of `place` after block 0. `sort.<model>.distance`: total variation
    of block 0's attention maps to the compiled model's. `readout.<model>.<O_PT | O_FT>`: attention of the last block from
    the answer position to the place of the 5th and of the 7th largest letter. And the maps of one string.
    """
    from capbench.measure.attention import attention_maps, attention_mass, map_distance

    study = bench.study
    task, batch = _sample(bench, "O_PT", 0)
    tokens = batch.tokens[: study.preset.n_attention]
    content = tokens != task.vocabulary.index(task.pad)
    content[:, 0] = False  # BOS
    token_ids = tokens.masked_fill(~content, len(task.vocabulary))
    places = token_ids.argsort(1).argsort(1)  # letters are in alphabetical order, as their ids
    first = content & (places < max(study.o_pt, study.o_ft))
    built_by_name = {"base": base, **models}
    found = {name: attention_maps(built.model, tokens) for name, built in built_by_name.items()}
    for name, maps in found.items():
        built = built_by_name[name]
        read = _dimensions(built, tokens, "place", after_block=0)[first].argmax(-1)
        right = float((read == places[first]).float().mean())
        yield number(bench, f"sort.{name}.places", right, "accuracy", int(first.sum()), "sorting")
        distance = map_distance(maps[0], found["base"][0], content)
        yield number(bench, f"sort.{name}.distance", distance, "probability", int(content.sum()), "sorting")
        for operand, rank in _operands(bench):
            on = content & False
            on[:, rank] = True  # BOS is position 0, so the k-th place is position k
            mass = attention_mass(maps, task.answer_pos, on)[-1]
            yield number(bench, f"readout.{name}.{operand}", float(mass), "probability", len(tokens), "sorting")
    yield from _maps(bench, found, tokens, task)


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
        tasks = {o: study.evaluation(operand, c_te=0, split=split) for o, operand in _operands(bench)}
        batches = {o: sample(task, n, seed) for o, task in tasks.items()}
        counts[split] = {o: _answers(tasks[o], batch) for o, batch in batches.items()}
        task, tokens = tasks["O_PT"], batches["O_PT"].tokens
        held = {name: _dimensions(built, tokens, "count", after_block=1) for name, built in models.items()}
        read[split] = {name: values[:, task.answer_pos].argmax(-1) for name, values in held.items()}
    for name in models:
        for operand in ("O_PT", "O_FT"):
            stands_for = _most_common(read["select"][name], counts["select"][operand], held[name].shape[-1])
            value = float((stands_for[read["evaluate"][name]] == counts["evaluate"][operand]).float().mean())
            found[f"{name}.{operand}"] = value
            yield number(bench, f"circuit.{name}.{operand}", value, "accuracy", len(tokens), "activations")
        grid = Grid(
            values=_rounded(held[name][0].T),
            rows=tuple(f"count:{i}" for i in range(held[name].shape[-1])),
            columns=_words(task, tokens[0]),
            row_label="residual dimension",
            column_label="position",
        )
        yield _picture(bench, "activations", f"{TITLES[name]}, after block 1", "activation", grid)
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


def _operands(bench: Bench[TracrStudy]) -> tuple[tuple[str, Any], ...]:
    return ("O_PT", bench.study.o_pt), ("O_FT", bench.study.o_ft)


def _most_common(keys: Tensor, values: Tensor, n_keys: int) -> Tensor:
    """[key]: the value that each key goes with most often; 0 where it never occurs."""
    import torch

    table = torch.zeros(n_keys, int(values.max()) + 1, dtype=torch.long)
    table.index_put_((keys, values), torch.ones_like(keys), accumulate=True)
    return table.argmax(-1)


def _pruning(bench: Bench[TracrStudy], tuned: Built, units: Units) -> Iterator[Measurement]:
    found = _searched(bench, tuned, units)
    for series, accuracies in (
        ("O_PT, pruned", found.pretraining),
        (f"O_PT, random {units}", found.random_pretraining),
        ("O_FT, pruned", found.finetuning),
        (f"O_FT, random {units}", found.random_finetuning),
    ):
        points = list(zip(found.ks, accuracies, strict=True))
        yield curve_of(bench, "pruning", series, points, x_label=f"pruned {units}", y_label="accuracy")
    places = ", ".join(".".join(map(str, unit)) for unit in found.chosen)
    for name, value, unit, note in (
        ("reached", found.pretraining[found.best], "accuracy", ""),
        ("gain", found.gain, "difference", ""),
        ("cost", found.cost, "difference", ""),
        ("units", found.ks[found.best], units, places),
        ("classes", found.classes[found.best], "classes", ""),
    ):
        yield number(bench, f"pruning.{units}.{name}", value, unit, bench.study.preset.n_evaluate, "pruning", note=note)


def _search_control(bench: Bench[TracrStudy], never: Built, units: Units) -> Iterator[Measurement]:
    found = _searched(bench, never, units)
    reached = found.pretraining[found.best]
    yield number(bench, f"pruning.{units}.never", reached, "accuracy", bench.study.preset.n_evaluate, "pruning")


def _searched(bench: Bench[TracrStudy], built: Built, units: Units) -> Pruning:
    import torch

    from capbench.measure.accuracy import sample
    from capbench.measure.prune import prune_and_evaluate

    study, preset = bench.study, bench.study.preset
    task, batch = _sample(bench, "O_PT", 0)
    ft_task, ft_batch = _sample(bench, "O_FT", 1)
    select = study.evaluation(study.o_pt, c_te=0, split="select")
    return prune_and_evaluate(
        built.model,
        pretraining=task,
        finetuning=ft_task,
        select=sample(select, preset.n_search, subseed(bench.seed, f"select {units}")),
        evaluate=batch,
        evaluate_finetuning=ft_batch,
        ks=preset.prune_ks,
        most=preset.prune_most,
        random_draws=preset.random_draws,
        rng=torch.Generator().manual_seed(subseed(bench.seed, f"random {units}")),
        units=units,
        search=preset.prune_search,
    )


def _sample(bench: Bench[TracrStudy], operand: str, c_te: int) -> tuple[StringTask, Batch]:
    """The same strings for both operands: the seed does not depend on which is asked for."""
    from capbench.measure.accuracy import sample

    study = bench.study
    task = study.evaluation(dict(_operands(bench))[operand], c_te=c_te)
    return task, sample(task, study.preset.n_evaluate, subseed(bench.seed, f"evaluate {c_te}"))


def _answers(task: StringTask, batch: Batch) -> Tensor:
    return batch.targets[:, task.answer_pos]


def _has(tokens: Tensor, task: StringTask, letter: str) -> Tensor:
    return (tokens == task.vocabulary.index(letter)).any(1)


def _among(tokens: Tensor, ids: Sequence[int]) -> Tensor:
    import torch

    return torch.isin(tokens, torch.tensor(ids))


def _dimensions(built: Built, tokens: Tensor, variable: str, *, after_block: int) -> Tensor:
    """[batch, pos, value]: the residual dimensions of a program's variable, in the order of its values 0, 1, 2 …"""
    import torch

    from capbench.measure.accuracy import device_of

    model: Any = built.model
    values = {label: i for i, label in enumerate(model.residual_labels) if label.rpartition(":")[0] == variable}
    order = sorted(values, key=lambda label: int(label.rpartition(":")[2]))
    with torch.no_grad():
        resid = model.run_with_cache(tokens.to(device_of(model)))[1].resid[after_block + 1].cpu()
    found: Tensor = resid[:, :, [values[label] for label in order]]
    return found


def _maps(
    bench: Bench[TracrStudy], found: Mapping[str, Tensor], tokens: Tensor, task: StringTask
) -> Iterator[Measurement]:
    """The attention maps of the first string: block by block and head by head, before fine-tuning beside after."""
    words = _words(task, tokens[0])
    _, _, heads, _, _ = next(iter(found.values())).shape
    for block in range(len(next(iter(found.values())))):
        for head in range(heads):
            which = f", head {head}" if heads > 1 else ""
            for model in ("base", "tuned"):
                grid = Grid(
                    values=_rounded(found[model][block, 0, head]),
                    rows=words,
                    columns=words,
                    row_label="query",
                    column_label="key",
                )
                yield _picture(bench, "attention", f"{TITLES[model]}, block {block}{which}", "attention", grid)


def _picture(bench: Bench[TracrStudy], group: str, series: str, unit: str, grid: Grid) -> Measurement:
    return Measurement(
        name=f"{group}.map", value=None, unit=unit, n=1, seed=bench.seed, group=group, series=series, grid=grid
    )


def _rounded(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, 4) for value in row) for row in values.tolist())


def _words(task: StringTask, tokens: Tensor) -> tuple[str, ...]:
    return tuple(task.vocabulary[i] for i in tokens.tolist())
