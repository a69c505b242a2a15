"""What is read off the models of the PCFG experiments. Each reading's result is kept; torch is imported inside.

Names: `base` the pretrained model, `tuned` after fine-tuning, `never` a model never taught O_PT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from capbench.results import Curve, Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.readings import accuracy_number, by_model, curve_of, number
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgJailbreak, PcfgStudy
    from capbench.tasks.base import Batch
    from capbench.tasks.pcfg.task import PcfgTask


def accuracies(bench: Bench[PcfgStudy], model: Built) -> Iterator[Measurement]:
    """Accuracy of one model on O_PT and O_FT at C_Te 0 and 1: what `behaviour` is made of."""
    from capbench.measure.accuracy import accuracy

    for operand_name, operand in zip(("O_PT", "O_FT"), bench.study.operands, strict=True):
        for c_te in (0, 1):
            task, batch = _sample(bench, operand, c_te, bench.study.preset.n_evaluate)
            yield Measurement(
                name=f"{operand_name}.c_te{c_te}",
                value=accuracy(model.model, task, batch),
                unit="accuracy",
                n=len(batch.tokens),
                seed=bench.seed,
                group="accuracy",
                series=f"{operand_name} C_Te {c_te}",
            )


@made_of(accuracies)
def behaviour(bench: Bench[PcfgStudy], **models: Built) -> Iterator[Measurement]:
    """Accuracy of each model on O_PT and O_FT at C_Te 0 and 1: `<model>.O_PT.c_te0` and so on (Fig. 5, 6, Table 5)."""
    yield from by_model(bench, accuracies, models)


def accuracies_by_family(bench: Bench[PcfgStudy], model: Built) -> Iterator[Measurement]:
    """Accuracy of one model per family token and operand: what `families` is made of."""
    from capbench.measure.accuracy import accuracy, sample

    study = bench.study
    for token in study.setting.families:
        for operand in [None] if study.setting.family(token).operand == "null" else study.setting.operands:
            asked = token if operand is None else f"{token}.{operand}"
            task = study.evaluation(operand or study.operands[0], c_te=None, family=token)
            batch = sample(task, study.preset.n_evaluate, subseed(bench.seed, f"evaluate {asked}"))
            yield accuracy_number(bench, asked, accuracy(model.model, task, batch), len(batch.tokens))


@made_of(accuracies_by_family)
def families(bench: Bench[PcfgStudy], **models: Built) -> Iterator[Measurement]:
    """Accuracy per family token and operand on natural strings: `<model>.<family>.<operand>`, `<model>.T` (App. B.2)."""
    yield from by_model(bench, accuracies_by_family, models)


@made_of(accuracies_by_family)
def collateral(bench: Bench[PcfgStudy], base: Built, tuned: Built) -> Iterator[Measurement]:
    """`families` of both models, but for what fine-tuning is about: `tuned.before.<what>` of base, `tuned.others.<what>`.

    That is O_PT and O_FT of the family that is fine-tuned, under each of its tokens (three in the jailbreak study, where
    T_J1 and T_J2 ask for the same capability in another way).
    """
    same = {f"{token}.{operand}" for token in bench.study.same_family for operand in bench.study.operands}
    for which, built in (("before", base), ("others", tuned)):
        for m in bench.read(accuracies_by_family, {"model": built}):
            if m.name not in same and m.value is not None:
                yield accuracy_number(bench, f"tuned.{which}.{m.name}", m.value, m.n)


def wrong_answers(bench: Bench[PcfgStudy], tuned: Built) -> Iterator[Measurement]:
    """How often prompts for O_PT get the answer for O_FT, as randFT teaches: `tuned.wrong.c_te0`, `.c_te1` (App. E.4)."""
    from capbench.measure.accuracy import accuracy

    n = bench.study.preset.n_evaluate
    o_pt, o_ft = bench.study.operands
    for c_te in (0, 1):
        task = replace(bench.study.evaluation(o_pt, c_te=c_te), answered=o_ft)
        batch = _draw(task, n, subseed(bench.seed, f"evaluate wrong {c_te}"))
        yield accuracy_number(bench, f"tuned.wrong.c_te{c_te}", accuracy(tuned.model, task, batch), n)


def class_balance(bench: Bench[PcfgStudy]) -> Iterator[Measurement]:
    """Over how many classes the answers for O_FT spread in the fine-tuning data, by C_Tr and in natural strings (Fig. 16).

    balance.classes.<which>: the effective number of classes, exp of the entropy of the answers. balance.largest.<which>:
    the share of the commonest. No model is asked.
    """
    import numpy as np

    study, n = bench.study, 8 * bench.study.preset.n_evaluate
    for which, c_tr in (("c_tr0", 0), ("c_tr0.5", 0.5), ("c_tr1", 1), ("natural", None)):
        task = study.evaluation(study.operands[1], c_te=c_tr, split="train")
        batch = _draw(task, n, subseed(bench.seed, f"balance {which}"))
        answers = (batch.targets[:, task.answer_pos] - task.first_answer).numpy()
        shares = np.bincount(answers, minlength=task.n_answers) / n
        entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
        points = list(enumerate(shares.tolist()))
        yield curve_of(bench, "class balance", which, points, x_label="answer", y_label="share of strings")
        yield number(bench, f"balance.classes.{which}", float(np.exp(entropy)), "classes", n, "class balance")
        yield number(bench, f"balance.largest.{which}", float(shares.max()), "share", n, "class balance")


def pruning(bench: Bench[PcfgStudy], tuned: Built) -> Iterator[Measurement]:
    """Gain and cost of pruning the neurons that hold O_PT back, against random ones (Fig. 7).

    Neurons and their number (at most preset.prune_most) are chosen on natural strings of the pretraining task, selection
    split; O_PT is evaluated at C_Te 0, O_FT at C_Te 1, where the shortcut works. Larger numbers are for the figure.
    """
    import torch

    from capbench.measure.prune import prune_and_evaluate

    preset, study = bench.study.preset, bench.study
    o_pt, o_ft = study.operands
    pt, pt_batch = _sample(bench, o_pt, 0, preset.n_evaluate)
    ft, ft_batch = _sample(bench, o_ft, 1, preset.n_evaluate)
    select = study.evaluation(o_pt, c_te=None, split="select")
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
        ("pruning.gain", found.gain, "difference"),
        ("pruning.cost", found.cost, "difference"),
        ("pruning.neurons", found.ks[found.best], "neurons"),
        ("pruning.classes", found.classes[found.best], "classes"),
        ("pruning.random_loss", found.random_pretraining[0] - found.random_pretraining[found.best], "difference"),
    ):
        yield Measurement(name=name, value=value, unit=unit, n=preset.n_evaluate, seed=bench.seed, group="pruning")


def description_length(bench: Bench[PcfgStudy], model: Built, token: str | None) -> Iterator[Measurement]:
    """Probes of one model for the answer to O_PT, by block: what `probing` is made of.

    `bits by block` and `accuracy by block` on the evaluation split; `block`: the one with the fewest bits on the selection
    split; `bits`: its bits on the evaluation split; `accuracy`: the best of any block.
    """
    from capbench.measure.probe import Probe, code_length, features

    study, blocks = bench.study, bench.study.preset.probe_blocks
    tasks = {
        split: study.evaluation(study.operands[0], c_te=None, family=token, split=split)
        for split in ("select", "evaluate")
    }
    batches = {split: _draw(task, blocks[-1], subseed(bench.seed, f"probe {split}")) for split, task in tasks.items()}
    task = tasks["evaluate"]
    classes = task.n_answers
    labels = {split: batch.targets[:, task.answer_pos] - task.first_answer for split, batch in batches.items()}
    x = {split: features(model.model, batch, task.answer_pos) for split, batch in batches.items()}
    length = {split: code_length(x[split], labels[split], classes, blocks=blocks).tolist() for split in x}
    layers = range(len(length["select"]))
    chosen = min(layers, key=length["select"].__getitem__)
    right = Probe.fitted(x["select"], labels["select"], classes).accuracy(x["evaluate"], labels["evaluate"]).tolist()
    for name, values in (("bits by block", length["evaluate"]), ("accuracy by block", right)):
        curve = Curve(x=tuple(map(float, layers)), y=tuple(values), x_label="block", y_label=name)
        yield Measurement(name=name, value=None, unit="", n=blocks[-1], seed=bench.seed, curve=curve)
    for name, value in (("bits", length["evaluate"][chosen]), ("block", chosen), ("accuracy", max(right))):
        yield number(bench, name, value, "", blocks[-1], "probing")


def _as_it_is(study: PcfgStudy) -> list[dict[str, str | None]]:
    return [{"token": None}]


def _under_each_token(study: PcfgJailbreak) -> list[dict[str, str | None]]:
    return [{"token": token} for token in (study.family, *study.jailbreaks)]


@made_of(description_length, _as_it_is)
def probing(bench: Bench[PcfgStudy], base: Built, tuned: Built, never: Built, initial: Built) -> Iterator[Measurement]:
    """Can a probe read the answer for O_PT off the residual stream at the answer position? (Fig. 8)

    Retention: 0 = a model never taught O_PT, 1 = the pretrained one, on the scale of description length (bits per
    sample) at each model's best block; blocks are chosen on the selection split, lengths measured on the evaluation
    split. Plain accuracy is reported per block beside it, with both controls and a randomly initialised model.
    """
    models = {"base": base, "tuned": tuned, "never": never, "initial": initial}
    yield from _probing(bench, models)


@made_of(description_length, _as_it_is)
def retention(bench: Bench[PcfgStudy], base: Built, tuned: Built, never: Built) -> Iterator[Measurement]:
    """`probing` without the control of a random initialisation."""
    yield from _probing(bench, {"base": base, "tuned": tuned, "never": never})


@made_of(description_length, _under_each_token)
def probing_by_token(bench: Bench[PcfgJailbreak], base: Built, tuned: Built, never: Built) -> Iterator[Measurement]:
    """`probing` under each family token of the jailbreak study: `probing.<token>.retention` and so on (App. E.2)."""
    for arguments in _under_each_token(bench.study):
        yield from _probing(bench, {"base": base, "tuned": tuned, "never": never}, **arguments)


def _probing(bench: Bench[PcfgStudy], models: Mapping[str, Built], token: str | None = None) -> Iterator[Measurement]:
    """token: a family token to ask under, which is then part of all names; None: the study's own."""
    prefix, under = (f"probing.{token}", f", T_{token}") if token else ("probing", "")
    n = bench.study.preset.probe_blocks[-1]
    bits: dict[str, float] = {}
    for name, built in models.items():
        read = {m.name: m for m in bench.read(description_length, {"model": built}, token=token)}
        series = {"never": "never taught", "initial": "random initialisation"}.get(name, name)
        for what, y_label in (("bits", "bits per sample"), ("accuracy", "accuracy")):
            by_block = read[f"{what} by block"].curve
            assert by_block is not None
            curve = replace(by_block, x_label="block (0: embedding)", y_label=y_label + under)
            yield Measurement(
                name="probing.curve",
                value=None,
                unit="",
                n=0,
                seed=bench.seed,
                group="probing",
                series=series,
                curve=curve,
            )
        bits[name] = read["bits"].value or 0.0
        yield number(bench, f"{prefix}.bits.{name}", bits[name], "bits/sample", n, "probing")
        yield number(bench, f"{prefix}.block.{name}", read["block"].value, "block", n, "probing")
        yield number(bench, f"{prefix}.accuracy.{name}", read["accuracy"].value, "accuracy", n, "probing")
    range_ = bits["never"] - bits["base"]
    yield number(bench, f"{prefix}.range", range_, "bits/sample", n, "probing")
    yield number(
        bench,
        f"{prefix}.retention",
        (bits["never"] - bits["tuned"]) / range_ if range_ > 0 else None,
        "retention",
        n,
        "probing",
        note="" if range_ > 0 else "the pretrained model holds no more than the never-taught one",
    )


def _sample(bench: Bench[PcfgStudy], operand: str, c_te: int, n: int) -> tuple[PcfgTask, Batch]:
    task = bench.study.evaluation(operand, c_te=c_te)
    return task, _draw(task, n, subseed(bench.seed, f"evaluate {operand} {c_te}"))


def _draw(task: PcfgTask, n: int, seed: int) -> Batch:
    from capbench.measure.accuracy import sample

    return sample(task, n, seed)
