"""What PCFG models answer: accuracy on the old and the new task, and on everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.pcfg.readings.sampling import drawn, sampled
from capbench.studies.readings import accuracy_number, by_model
from capbench.studies.seeds import subseed

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgStudy


def accuracies(bench: Bench[PcfgStudy], model: Built) -> Iterator[Measurement]:
    """Accuracy of one model on O_PT and O_FT at C_Te 0 and 1: what `behaviour` is made of."""
    from capbench.measure.accuracy import accuracy

    for operand_name, operand in zip(("O_PT", "O_FT"), bench.study.operands, strict=True):
        for c_te in (0, 1):
            task, batch = sampled(bench, operand, c_te, bench.study.preset.n_evaluate)
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
        batch = drawn(task, n, subseed(bench.seed, f"evaluate wrong {c_te}"))
        yield accuracy_number(bench, f"tuned.wrong.c_te{c_te}", accuracy(tuned.model, task, batch), n)
