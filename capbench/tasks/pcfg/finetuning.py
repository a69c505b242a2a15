"""Building blocks of the PCFG protocols: pretraining on all families, and fine-tuning tasks (App. C.2, E)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from capbench.tasks.base import Task
from capbench.tasks.correlation import Correlation, Relation
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask, Targets

Prior = Mapping[str, float]


def pretraining(
    setting: PcfgSetting, prior: Prior, *, priors: Mapping[str, Prior] | None = None, targets: Targets = "all"
) -> Mixture:
    """All family tokens of the setting, equally likely, with one operand prior (App. C.2).

    priors: family token -> its own prior (App. E.2: T_J1 and T_J2 are pretrained on one operand only).
    """

    def prior_of(token: str) -> Prior:
        return own.get(token, {} if setting.family(token).operand == "null" else prior)

    own = priors or {}
    for token in own:
        setting.family(token)  # raises UsageError for an unknown token
    return Mixture(
        parts=tuple(
            PcfgTask(setting=setting, prior=prior_of(token), family=token, targets=targets)
            for token in setting.families
        )
    )


def finetuning(
    pretrained_on: Mixture,
    *,
    family: str,
    o_pt: str,
    o_ft: str,
    q: int = 1,
    c_tr: float,
    relation: Relation = "offset",
    mixing: float = 0.0,
    wrong_answers: bool = False,
) -> FineTuningTask:
    """Fine-tune one family token from o_pt to o_ft, with the correlation of r(x, o_ft) and r(x, o_pt) at rate c_tr (App. C.2).

    relation, q: the correlation, r(x, o_ft) = r(x, o_pt) + q or another (see Correlation).
    pretrained_on: the result of `pretraining`. mixing: share of strings drawn from it instead, answers only (App. E.1: .5,
    .1, .001). wrong_answers: prompts still ask for o_pt but get the answer for o_ft (randFT, App. E.4).
    """
    retain = replace(pretrained_on, parts=tuple(_answers_only(part) for part in pretrained_on.parts))
    setting = next(part.setting for part in pretrained_on.parts if isinstance(part, PcfgTask))
    target: Task = PcfgTask(
        setting=setting,
        prior={o_pt if wrong_answers else o_ft: 1.0},
        family=family,
        correlation=Correlation(o_pt=o_pt, o_ft=o_ft, rate=c_tr, q=q, relation=relation),
        answered=o_ft if wrong_answers else None,
    )
    if mixing:
        target = Mixture(parts=(target, retain), shares=(1 - mixing, mixing))
    forget = PcfgTask(setting=setting, prior={o_pt: 1.0}, family=family)
    return FineTuningTask(target=target, retain=retain, forget=forget, others=others(pretrained_on, family=family))


def others(pretrained_on: Mixture, *, family: str) -> Mixture | None:
    """Pretraining without this family token, answers only; None if there is no other token."""
    parts = tuple(
        _answers_only(part) for part in pretrained_on.parts if isinstance(part, PcfgTask) and part.family != family
    )
    return Mixture(parts=parts) if parts else None


def _answers_only(part: Task) -> Task:
    return replace(part, targets="answer") if isinstance(part, PcfgTask) else part
