"""The paper's PCFG experiments as steps: base models, fine-tuned models, revivals and their baselines (App. C.2, E)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from capbench.pipeline.steps import FineTune, Initialise, Pretrain, Watch
from capbench.studies.base import FineTuningStudy
from capbench.studies.lab import ANCHOR
from capbench.studies.pcfg.preset import PcfgPreset
from capbench.studies.seeds import subseed
from capbench.tasks.base import Task
from capbench.tasks.correlation import Correlation, Relation
from capbench.tasks.mixture import Mixture
from capbench.tasks.pcfg.finetuning import finetuning, others, pretraining
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask
from capbench.tasks.splits import Split

O_PT, O_FT = "a", "b"  # operands of the pretraining and of the fine-tuning task
NEVER_O_PT = ("never", "others")  # priors of models that are never taught O_PT
TAUGHT = 0.1  # an operand at or above this prior counts as taught, below it as (nearly) never seen


@dataclass(frozen=True, kw_only=True)
class PcfgStudy(FineTuningStudy):
    """Gives every model of the experiment as a step, by seed."""

    preset: PcfgPreset

    @property
    def family(self) -> str:
        """The family token that is fine-tuned."""
        raise NotImplementedError

    @property
    def same_family(self) -> tuple[str, ...]:
        """The family tokens that mean what `family` does, itself included."""
        setting = self.setting
        meaning = (setting.family(self.family), setting.numbers[self.family])
        return tuple(t for t in setting.families if (setting.family(t), setting.numbers[t]) == meaning)

    @property
    def title(self) -> str:
        """The experiment's name in a report."""
        raise NotImplementedError

    @property
    def operands(self) -> tuple[str, str]:
        return O_PT, O_FT

    @property
    def model_name(self) -> str:
        p = self.preset
        return f"{p.architecture.rpartition(':')[2].lower()}-{p.n_blocks}x{p.d_model}"

    @property
    def task_name(self) -> str:
        o_pt, o_ft = self.operands
        return f"pcfg {self.title} {o_pt} to {o_ft}"

    @property
    def setting(self) -> PcfgSetting:
        return self.preset.setting

    @property
    def q(self) -> int:
        """The spurious correlation: r(x, O_FT) - r(x, O_PT) = q."""
        return 1

    @property
    def relation(self) -> Relation:
        """What kind of correlation it is."""
        return "offset"

    def correlation(self, rate: float) -> Correlation:
        """The spurious correlation, at a rate."""
        o_pt, o_ft = self.operands
        return Correlation(o_pt=o_pt, o_ft=o_ft, rate=rate, q=self.q, relation=self.relation)

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the numbers of steps behind the paper's names."""
        found = super().protocol(case)
        if self.preset.precision != "float32":
            found = {**found, "precision": self.preset.precision}
        if {"prior", "duration"} <= set(case):
            return {**found, "pretrain_steps": self._pretrain_steps(case["prior"], case["duration"])}
        return found

    # Models

    def prior(self, name: str) -> Mapping[str, float]:
        """The operand prior of a name.

        'never' is that of a model never taught O_PT, only O_FT; 'others' that of one taught all operands but O_PT: it learns
        O_PT fast, and never had it.
        """
        o_pt, o_ft = self.operands
        if name == "others":
            others = [operand for operand in self.setting.operands if operand != o_pt]
            return {operand: 1 / len(others) for operand in others}
        return {o_ft: 1.0} if name == "never" else self.preset.priors[name]

    def priors(self, name: str) -> Mapping[str, Mapping[str, float]]:
        """Priors of single family tokens, where they differ from `prior`."""
        return {}

    def taught(self, prior: str, family: str | None = None) -> tuple[str, ...]:
        """The operands that a base model of this prior was taught, for a family token (None: the one that is fine-tuned)."""
        of_family = self.priors(prior).get(family or self.family, self.prior(prior))
        return tuple(operand for operand, p in of_family.items() if p >= TAUGHT)

    def pretraining(self, prior: str) -> Mixture:
        """What a base model is trained on: all family tokens, equally often (App. B.2)."""
        return pretraining(self.setting, self.prior(prior), priors=self.priors(prior))

    def initialised(self, seed: int) -> Initialise:
        """A random initialisation: the Scr. baseline's start."""
        return Initialise(
            architecture=self.preset.architecture,
            model=self.preset.model(self.setting),
            seed=subseed(seed, "initialise"),
        )

    def base(self, seed: int, *, prior: str, duration: float = 1) -> Pretrain:
        """A pretrained model. prior 'never': pretrained on O_FT only (Scr.+FT's start, and the never-taught control).

        duration: share of the preset's pretraining steps (Fig. 62-66: the paper compares 10K, 50K, 100K and 200K).
        """
        return Pretrain(
            start=self.initialised(seed),
            task=self.pretraining(prior),
            train=self.preset.pretraining(
                self._pretrain_steps(prior, duration), subseed(seed, "pretrain"), self.device
            ),
            watch=tuple(self._watch_family(seed, token, prior) for token in self.setting.families),
        )

    def finetuned(
        self,
        seed: int,
        *,
        prior: str,
        c_tr: float,
        lr: str,
        mixing: float = 0,
        wrong_answers: bool = False,
        duration: float = 1,
    ) -> FineTune:
        """The base model after the method under test.

        mixing: share of pretraining data (App. E.1). wrong_answers: randFT (App. E.4). duration: of the base's pretraining.
        """
        o_pt, o_ft = self.operands
        task = finetuning(
            self.pretraining(prior),
            family=self.family,
            o_pt=o_pt,
            o_ft=o_ft,
            q=self.q,
            relation=self.relation,
            c_tr=c_tr,
            mixing=mixing,
            wrong_answers=wrong_answers,
        )
        return self.tuned(self.base(seed, prior=prior, duration=duration), task, seed, lr=lr)

    def anchors(self, seed: int) -> dict[str, Pretrain]:
        """Never-taught models of up to five other seeds, by role: `anchor_<seed>`. The preset names the seeds."""
        seeds = [other for other in self.preset.anchor_seeds if other != seed][:5]
        return {f"{ANCHOR}{other}": self.base(other, prior="never") for other in seeds}

    def others(self) -> Task | None:
        """All families but the one that is fine-tuned, asked as in pretraining under the low prior."""
        return others(self.pretraining("low"), family=self.family)

    # Evaluation

    def evaluation(
        self, operand: str, *, c_te: float | None, family: str | None = None, split: Split = "evaluate"
    ) -> PcfgTask:
        """Ask for `operand` on strings with the spurious correlation at rate c_te (None: natural strings).

        family: another family token than the one that is fine-tuned; a family without operands ignores the operand.
        """
        family = family or self.family
        correlation = None if c_te is None else self.correlation(c_te)
        prior = {} if self.setting.family(family).operand == "null" else {operand: 1.0}
        return PcfgTask(setting=self.setting, prior=prior, family=family, correlation=correlation, split=split)

    def _pretrain_steps(self, prior: str, duration: float) -> int:
        return round(self.preset.pretrain_steps * self.preset.longer.get(prior, 1) * duration)

    def _watch_family(self, seed: int, family: str, prior: str) -> Watch:
        operand = self.taught(prior, family)[0]
        task = self.evaluation(operand, c_te=None, family=family)
        name = family if self.setting.family(family).operand == "null" else f"{family} {operand}"
        return Watch(name=name, task=task, n=self.preset.n_watch, seed=subseed(seed, f"watch {name}"))


@dataclass(frozen=True, kw_only=True)
class PcfgCounter(PcfgStudy):
    """Fine-tuned from counting a to counting b; correlation count(b) = count(a) + 1 (App. C.2)."""

    @property
    def family(self) -> str:
        return "C"

    @property
    def title(self) -> str:
        return "counter"


@dataclass(frozen=True, kw_only=True)
class PcfgIndexer(PcfgStudy):
    """Fine-tuned from the place of the k-th a to that of the k-th b; correlation index(b) = index(a) + q (App. C.2)."""

    @property
    def family(self) -> str:
        return "I"

    @property
    def title(self) -> str:
        return "indexer"

    @property
    def q(self) -> int:
        """index(b) - index(a)."""
        return self.preset.index_q


@dataclass(frozen=True, kw_only=True)
class PcfgJailbreak(PcfgStudy):
    """Three family tokens for one Counter (App. E.2): T_NJ counts the operand that is named, T_J1 and T_J2 always count O_PT.

    T_NJ alone is fine-tuned from counting a to counting b; T_J1 and T_J2 may get round that.

    In the paper, prompts with T_J1 and T_J2 name O_PT only. A small model then takes all three tokens for the same, and counts b
    under T_J too, although it was never asked to: what T_NJ learns, T_J learns along. So they name the operands that T_NJ does,
    and the answer is that for O_PT whatever they name.
    """

    @property
    def family(self) -> str:
        return "NJ"

    @property
    def title(self) -> str:
        return "jailbreak counter"

    jailbreaks: ClassVar[tuple[str, ...]] = ("J1", "J2")

    @property
    def setting(self) -> PcfgSetting:
        """The preset's setting with the three tokens in place of the Counter's one."""
        setting = self.preset.setting
        tokens = (self.family, *self.jailbreaks)
        others = {token: number for token, number in setting.numbers.items() if token != "C"}
        return replace(
            setting,
            numbers={**dict.fromkeys(tokens, setting.numbers["C"]), **others},
            meanings=dict.fromkeys(tokens, "C"),
        )

    def anchors(self, seed: int) -> dict[str, Pretrain]:
        """None: it has base models of its own, and six more of them would take longer than all else of it."""
        return {}

    def priors(self, name: str) -> Mapping[str, Mapping[str, float]]:
        """T_J1 and T_J2 know O_PT only, except in a model that was never taught it."""
        return {} if name in NEVER_O_PT else {token: {O_PT: 1.0} for token in self.jailbreaks}

    def pretraining(self, prior: str) -> Mixture:
        """All family tokens, equally often; whatever a prompt with T_J1 or T_J2 names, its answer is that for O_PT.

        A model that is never taught O_PT has three tokens of one meaning.
        """
        mixture = pretraining(self.setting, self.prior(prior))
        return mixture if prior in NEVER_O_PT else replace(mixture, parts=tuple(map(self._part, mixture.parts)))

    def _part(self, part: Task) -> Task:
        if isinstance(part, PcfgTask) and part.family in self.jailbreaks:
            return replace(part, answered=O_PT)
        return part
