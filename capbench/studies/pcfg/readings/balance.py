"""How the answers of the data spread, and what is scored that was trained on. No model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from capbench.results import Measurement
from capbench.studies.lab import Bench
from capbench.studies.pcfg.readings.sampling import drawn
from capbench.studies.readings import curve_of, number
from capbench.studies.seeds import subseed
from capbench.tasks.splits import Split

if TYPE_CHECKING:
    from capbench.studies.pcfg.study import PcfgStudy
    from capbench.tasks.pcfg.task import PcfgTask

SAMPLES = 8  # times n_evaluate: strings per distribution of answers
TRAINED = 64  # times n_evaluate: training strings among which those of the evaluation are looked for


def class_balance(bench: Bench[PcfgStudy]) -> Iterator[Measurement]:
    """Over how many classes the answers spread: for O_FT by C_Tr (Fig. 16), for O_PT in natural strings of each split.

    balance.classes.<which>: the effective number of classes, exp of the entropy of the answers. balance.largest.<which>:
    the share of the commonest. <which>: c_tr0, c_tr0.5, c_tr1 and natural in training data for O_FT; train, select and
    evaluate for O_PT. What is trained on and scored again: see `_trained`.
    """
    study = bench.study
    o_pt, o_ft = study.operands
    for which, c_tr in (("c_tr0", 0), ("c_tr0.5", 0.5), ("c_tr1", 1), ("natural", None)):
        yield from _spread(bench, which, study.evaluation(o_ft, c_te=c_tr, split="train"))
    for split in get_args(Split):
        yield from _spread(bench, split, study.evaluation(o_pt, c_te=None, split=split))
    yield from _trained(bench)


def _spread(bench: Bench[PcfgStudy], which: str, task: PcfgTask) -> Iterator[Measurement]:
    import numpy as np

    n = SAMPLES * bench.study.preset.n_evaluate
    batch = drawn(task, n, subseed(bench.seed, f"balance {which}"))
    answers = (batch.targets[:, task.answer_pos] - task.first_answer).numpy()
    shares = np.bincount(answers, minlength=task.n_answers) / n
    entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    points = list(enumerate(shares.tolist()))
    yield curve_of(bench, "class balance", which, points, x_label="answer", y_label="share of strings")
    yield number(bench, f"balance.classes.{which}", float(np.exp(entropy)), "classes", n, "class balance")
    yield number(bench, f"balance.largest.{which}", float(shares.max()), "share", n, "class balance")


def _trained(bench: Bench[PcfgStudy]) -> Iterator[Measurement]:
    """The share of the evaluation strings that training asks too, by family token: balance.trained.<token>.

    Two strings are one question where they agree in all letters that decide the answer for O_PT. Where these are as many
    as decide the split, no question is in two splits. Where they are few, every split has nearly all of the questions.
    """
    import numpy as np

    from capbench.tasks.pcfg.deciding import OTHER, among, deciding

    setting, (o_pt, _), per = bench.study.setting, bench.study.operands, bench.study.preset.n_evaluate
    rng = np.random.default_rng(subseed(bench.seed, "balance trained"))
    trained = setting.texts(TRAINED * per, "train", rng)[: TRAINED * per]
    scored = setting.texts(SAMPLES * per, "evaluate", rng)[: SAMPLES * per]
    for token in setting.families:
        ours = deciding(setting, token, scored, o_pt)
        share = float(among(ours, deciding(setting, token, trained, o_pt)).mean())
        letters = float((ours != OTHER).sum(axis=1).mean())
        of = f"{letters:.2g} of {setting.text_len}"
        note = f"the answer hangs on {of} letters on average: no split can keep so few apart" if share else ""
        yield number(bench, f"balance.trained.{token}", share, "share", len(scored), "class balance", note=note)
