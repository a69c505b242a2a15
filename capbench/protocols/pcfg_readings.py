"""What is read off the models of the PCFG Counter experiment. Each reading's result is kept; torch is imported inside.

Names: `base` the pretrained model, `tuned` after fine-tuning, `never` a model never taught O_PT.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.lab import Bench, Built
from capbench.protocols.pcfg_counter import O_FT, O_PT
from capbench.protocols.seeds import subseed
from capbench.protocols.shared_readings import accuracy_number, curve_of, number
from capbench.results import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from capbench.tasks.base import Batch
    from capbench.tasks.pcfg import PcfgTask


def behaviour(bench: Bench, **models: Built) -> Iterator[Measurement]:
    """Accuracy of each model on O_PT and O_FT at C_Te 0 and 1: `<model>.O_PT.c_te0` and so on (Fig. 5, 6, Table 5)."""
    from capbench.measure.accuracy import accuracy

    for operand_name, operand in (("O_PT", O_PT), ("O_FT", O_FT)):
        for c_te in (0, 1):
            task, batch = _sample(bench, operand, c_te, bench.study.preset.n_evaluate)
            for name, built in models.items():
                yield Measurement(
                    name=f"{name}.{operand_name}.c_te{c_te}",
                    value=accuracy(built.model, task, batch),
                    unit="accuracy",
                    n=len(batch.tokens),
                    seed=bench.seed,
                    group="accuracy",
                    series=f"{name} {operand_name} C_Te {c_te}",
                )


def taught_operands(bench: Bench, base: Built) -> Iterator[Measurement]:
    """Accuracy of a base model on every operand of the Counter and, on natural strings, of the other families."""
    from dataclasses import replace

    from capbench.measure.accuracy import accuracy, sample

    study = bench.study
    for operand in study.preset.setting.operands:
        for c_te in (0, 1):
            task, batch = _sample(bench, operand, c_te, study.preset.n_evaluate)
            yield accuracy_number(
                bench, f"base.C.{operand}.c_te{c_te}", accuracy(base.model, task, batch), len(batch.tokens)
            )
        for family in study.preset.setting.numbers:
            task = replace(study.evaluation(operand, c_te=None), family=family)
            batch = sample(task, study.preset.n_evaluate, subseed(bench.seed, f"evaluate {family} {operand}"))
            yield accuracy_number(
                bench, f"base.{family}.{operand}", accuracy(base.model, task, batch), len(batch.tokens)
            )


def pruning(bench: Bench, tuned: Built) -> Iterator[Measurement]:
    """Gain and cost of pruning the neurons that hold O_PT back, against random ones (Fig. 7).

    Neurons and their number (at most preset.prune_most) are chosen on natural strings of the pretraining task, selection
    split; O_PT is evaluated at C_Te 0, O_FT at C_Te 1, where the shortcut works. Larger numbers are for the figure.
    """
    import torch

    from capbench.measure.prune import prune_and_evaluate

    preset, study = bench.study.preset, bench.study
    pt, pt_batch = _sample(bench, O_PT, 0, preset.n_evaluate)
    ft, ft_batch = _sample(bench, O_FT, 1, preset.n_evaluate)
    select = study.evaluation(O_PT, c_te=None, split="select")
    found = prune_and_evaluate(
        tuned.model,
        pretraining=pt,
        finetuning=ft,
        select=_draw(select, preset.n_select, subseed(bench.seed, "select neurons")),
        evaluate=pt_batch,
        evaluate_finetuning=ft_batch,
        ks=preset.prune_ks,
        most=preset.prune_most,
        random_draws=preset.random_draws,
        rng=torch.Generator().manual_seed(subseed(bench.seed, "random neurons")),
    )
    for series, accuracies in (
        ("O_PT, pruned", found.pretraining),
        ("O_PT, random neurons", found.random_pretraining),
        ("O_FT, pruned", found.finetuning),
        ("O_FT, random neurons", found.random_finetuning),
    ):
        points = list(zip(found.ks, accuracies, strict=True))
        yield curve_of(bench, "pruning", series, points, x_label="pruned neurons", y_label="accuracy")
    for name, value, unit in (
        ("pruning.gain", found.gain, "accuracy"),
        ("pruning.cost", found.cost, "accuracy"),
        ("pruning.neurons", found.ks[found.best], "neurons"),
        ("pruning.classes", found.classes[found.best], "classes"),
        ("pruning.random_loss", found.random_pretraining[0] - found.random_pretraining[found.best], "accuracy"),
    ):
        yield Measurement(name=name, value=value, unit=unit, n=preset.n_evaluate, seed=bench.seed, group="pruning")


def probing(bench: Bench, base: Built, tuned: Built, never: Built, initial: Built) -> Iterator[Measurement]:
    """Can a probe read the count of O_PT off the residual stream at the answer position? (Fig. 8)

    Retention: 0 = a model never taught O_PT, 1 = the pretrained one, on the scale of description length (bits per
    sample) at each model's best block; blocks are chosen on the selection split, lengths measured on the evaluation
    split. Plain accuracy is reported per block beside it, with both controls and a randomly initialised model.
    """
    from capbench.measure.probe import Probe, code_length, features

    preset, study = bench.study.preset, bench.study
    blocks, classes = preset.probe_blocks, preset.setting.text_len + 1
    batches = {
        split: _draw(study.evaluation(O_PT, c_te=None, split=split), blocks[-1], subseed(bench.seed, f"probe {split}"))
        for split in ("select", "evaluate")
    }
    labels = {split: _answers(study.evaluation(O_PT, c_te=None), batch) for split, batch in batches.items()}
    position = study.evaluation(O_PT, c_te=None).answer_pos
    bits: dict[str, float] = {}
    for name, built in {"base": base, "tuned": tuned, "never": never, "initial": initial}.items():
        x = {split: features(built.model, batch, position) for split, batch in batches.items()}
        length = {split: code_length(x[split], labels[split], classes, blocks=blocks).tolist() for split in x}
        layers = range(len(length["select"]))
        chosen = min(layers, key=length["select"].__getitem__)
        bits[name] = length["evaluate"][chosen]
        right = Probe.fitted(x["select"], labels["select"], classes).accuracy(x["evaluate"], labels["evaluate"])
        series = {"never": "never taught", "initial": "random initialisation"}.get(name, name)
        for y_label, values in (("bits per sample", length["evaluate"]), ("accuracy", right.tolist())):
            points = list(zip(layers, values, strict=True))
            yield curve_of(bench, "probing", series, points, x_label="block (0: embedding)", y_label=y_label)
        yield number(bench, f"probing.bits.{name}", bits[name], "bits/sample", blocks[-1], "probing")
        yield number(bench, f"probing.accuracy.{name}", max(right.tolist()), "accuracy", blocks[-1], "probing")
    range_ = bits["never"] - bits["base"]
    yield number(bench, "probing.range", range_, "bits/sample", blocks[-1], "probing")
    yield number(
        bench,
        "probing.retention",
        (bits["never"] - bits["tuned"]) / range_ if range_ > 0 else None,
        "retention",
        blocks[-1],
        "probing",
        note="" if range_ > 0 else "the pretrained model holds no more than the never-taught one",
    )


def _sample(bench: Bench, operand: str, c_te: int, n: int) -> tuple[PcfgTask, Batch]:
    task = bench.study.evaluation(operand, c_te=c_te)
    return task, _draw(task, n, subseed(bench.seed, f"evaluate {operand} {c_te}"))


def _draw(task: PcfgTask, n: int, seed: int) -> Batch:
    from capbench.measure.accuracy import sample

    return sample(task, n, seed)


def _answers(task: PcfgTask, batch: Batch) -> Tensor:
    """The answers as class numbers 0 … text length."""
    return batch.targets[:, task.answer_pos] - task.setting.vocabulary.zero
