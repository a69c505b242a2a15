"""Where compiled models attend: at the answer position, and in the sort of max-identifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from capbench.results import Grid, Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.tracr.readings.common import TITLES, dimensions, operands, picture, rounded, sampled, words_of

if TYPE_CHECKING:
    from torch import Tensor

    from capbench.studies.tracr.study import TracrStudy
    from capbench.tasks.tracr.strings import StringTask


def attention(bench: Bench[TracrStudy], **models: Built) -> Iterator[Measurement]:
    """How much the answer position attends to O_PT's and O_FT's letters, block by block (Fig. 10, 40-48).

    `attention.<model>.block<l>.<O_PT | O_FT | other | BOS | padding>`, on strings with both letters and without the
    correlation; and the whole maps of one string.
    """
    from capbench.measure.attention import attention_maps, attention_mass

    study, preset = bench.study, bench.study.preset
    task, batch = sampled(bench, "O_PT", 0)
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
    task, batch = sampled(bench, "O_PT", 0)
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
        read = dimensions(built, tokens, "place", after_block=0)[first].argmax(-1)
        right = float((read == places[first]).float().mean())
        yield number(bench, f"sort.{name}.places", right, "accuracy", int(first.sum()), "sorting")
        distance = map_distance(maps[0], found["base"][0], content)
        yield number(bench, f"sort.{name}.distance", distance, "probability", int(content.sum()), "sorting")
        for operand, rank in operands(bench):
            on = content & False
            on[:, rank] = True  # BOS is position 0, so the k-th place is position k
            mass = attention_mass(maps, task.answer_pos, on)[-1]
            yield number(bench, f"readout.{name}.{operand}", float(mass), "probability", len(tokens), "sorting")
    yield from _maps(bench, found, tokens, task)


def _has(tokens: Tensor, task: StringTask, letter: str) -> Tensor:
    return (tokens == task.vocabulary.index(letter)).any(1)


def _among(tokens: Tensor, ids: Sequence[int]) -> Tensor:
    import torch

    return torch.isin(tokens, torch.tensor(ids))


def _maps(
    bench: Bench[TracrStudy], found: Mapping[str, Tensor], tokens: Tensor, task: StringTask
) -> Iterator[Measurement]:
    """The attention maps of the first string: block by block and head by head, before fine-tuning beside after."""
    words = words_of(task, tokens[0])
    _, _, heads, _, _ = next(iter(found.values())).shape
    for block in range(len(next(iter(found.values())))):
        for head in range(heads):
            which = f", head {head}" if heads > 1 else ""
            for model in ("base", "tuned"):
                grid = Grid(
                    values=rounded(found[model][block, 0, head]),
                    rows=words,
                    columns=words,
                    row_label="query",
                    column_label="key",
                )
                yield picture(bench, "attention", f"{TITLES[model]}, block {block}{which}", "attention", grid)
