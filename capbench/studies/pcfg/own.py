"""An experiment on a task of one's own: another grammar, family, operands, correlation, prompt or model than the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from capbench.errors import UsageError
from capbench.pipeline.steps import describe
from capbench.store.keys import key_of
from capbench.studies.pcfg.preset import PcfgPreset
from capbench.studies.pcfg.study import PcfgStudy
from capbench.tasks.correlation import Correlation, Relation
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What is asked of the model, and how large it is; as plain data.

    setting: grammar, length of texts, family tokens, prompt. family: the family token that is fine-tuned, from o_pt to o_ft.
    relation, q: the spurious correlation between the two answers (see Correlation).
    d_model, n_blocks, n_heads, pretrain_steps: None takes the scale's.
    Raises UsageError, one line, for a family, an operand or a correlation that the setting cannot have.
    """

    setting: PcfgSetting
    family: str = "C"
    o_pt: str = "a"
    o_ft: str = "b"
    relation: Relation = "offset"
    q: int = 1
    d_model: int | None = None
    n_blocks: int | None = None
    n_heads: int | None = None
    pretrain_steps: int | None = None

    def __post_init__(self) -> None:
        if self.setting.family(self.family).operand == "null":
            raise UsageError(f"family {self.family} has no operand, so it cannot be fine-tuned from one to another")
        if self.o_pt == self.o_ft:
            raise UsageError(f"o_pt and o_ft must be two operands, not {self.o_pt!r} twice")
        PcfgTask(  # which says what cannot be; some texts are to carry the correlation, others to lack it
            setting=self.setting,
            prior={self.o_ft: 1.0},
            family=self.family,
            correlation=Correlation(o_pt=self.o_pt, o_ft=self.o_ft, rate=0.5, q=self.q, relation=self.relation),
        )

    @property
    def id(self) -> str:
        """Six characters that stand for all of it."""
        return key_of(describe(self))[:6]

    def preset(self, preset: PcfgPreset) -> PcfgPreset:
        """A scale with this task and these sizes in place of its own, and without the models of other seeds that come with it."""
        sizes = ("d_model", "n_blocks", "n_heads", "pretrain_steps")
        given = {name: getattr(self, name) for name in sizes if getattr(self, name) is not None}
        return replace(preset, setting=self.setting, anchor_seeds=(), **given)


@dataclass(frozen=True, kw_only=True)
class PcfgOwn(PcfgStudy):
    """The Counter's experiment on a task of one's own. Priors by the paper's names, or as the probability of O_FT."""

    spec: TaskSpec

    @property
    def operands(self) -> tuple[str, str]:
        return self.spec.o_pt, self.spec.o_ft

    @property
    def family(self) -> str:
        return self.spec.family

    @property
    def title(self) -> str:
        """With the task's own name, so that two tasks are never taken for one."""
        return f"own task {self.spec.id} {self.spec.family}"

    @property
    def q(self) -> int:
        """As the task says."""
        return self.spec.q

    @property
    def relation(self) -> Relation:
        return self.spec.relation

    def prior(self, name: str | float) -> Mapping[str, float]:
        """The scale's prior of a name, its a, b and c being O_PT, O_FT and the first other letter; or the share of O_FT."""
        o_pt, o_ft = self.operands
        if isinstance(name, (int, float)):
            return {o_pt: 1 - name, o_ft: name}
        if name in ("never", "others"):  # these are by operand, not by a name of the scale
            return super().prior(name)
        named = dict(zip(("a", "b"), self.operands, strict=True))
        others = [letter for letter in self.setting.operands if letter not in self.operands]
        found: dict[str, float] = {}
        for operand, p in super().prior(name).items():
            letter = named.get(operand) or (
                others[0] if others else o_pt
            )  # two letters only: O_PT takes the third's share
            found[letter] = found.get(letter, 0.0) + p
        return found
