"""A method on an implanted skill or implanted facts, S: the given model M, M with S, and both after the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from capbench.errors import UsageError
from capbench.pipeline.steps import Edit, FineTune, Load
from capbench.studies.language.implant_data import GENERATED, Implanted, Streams, streams, to_implant
from capbench.studies.language.implant_preset import ImplantPreset
from capbench.studies.language.shared import LanguageStudy, content_of, loading, vocabulary_of
from capbench.studies.seeds import subseed
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.language.capability import Kind

DATA = ("rule", "text")  # what a method is given to learn


@dataclass(frozen=True, kw_only=True)
class ImplantStudy(LanguageStudy):
    """Gives every model of the experiment as a step, by seed. The twin is M after the method, on data without the skill."""

    preset: ImplantPreset

    def on(self, path: str, capabilities: tuple[str, ...]) -> Self:
        """See `LanguageStudy`. Of several capabilities the one to implant, whose name begins with `implant`."""
        spec = to_implant(capabilities)
        found = Implanted.of(spec, 0).taught
        if found.kind == "skill" and len(found.taught) < self.preset.n_probe:
            raise UsageError(
                f"{spec}: has {len(found.taught)} items to train on; at scale {self.preset.name} a probe is fitted on "
                f"{self.preset.n_probe}, so it needs as many"
            )
        named = replace(self, load=loading(path), capability=spec, title=found.name)
        return replace(named, content=content_of(found), vocabulary=vocabulary_of(named.tokeniser, found))

    @property
    def task_name(self) -> str:
        return self.title or GENERATED

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """A case's parameters, with the learning rate and the number of steps behind the name of a rate."""
        found = dict(case)
        if "lr" in case:
            found |= {"eta": self.preset.rates[case["lr"]], "steps": self.preset.finetune_steps}
        return found

    @property
    def kind(self) -> Kind:
        """A skill, or facts, which one tool judges."""
        return Implanted.of(self.capability, 0).taught.kind

    def streams(self, seed: int) -> Streams:
        """What is trained and measured on. Raises UsageError, one line, for what the tokeniser cannot take."""
        return _streams(self, seed)

    def taught(self, seed: int) -> Edit:
        """M with S."""
        p = self.preset
        train = p.implanting(subseed(seed, "implant"), self.device)
        return Edit(
            start=self.base,
            edit="capbench.studies.language.implant_edit:taught",
            task=self.streams(seed).implant,
            arguments={
                "steps": train.steps,
                "batch_size": train.batch_size,
                "lr": train.lr,
                "seed": train.seed,
                "device": train.device,
                "precision": train.precision,
                "blocks": p.blocks,
                "goal": p.goal,
            },
        )

    def tuned(self, seed: int, *, data: str, lr: str, twin: bool = False) -> FineTune:
        """M with S after the method under test; twin: M after it, by the same draws.

        data: what the method is given as its target: `rule`, other answers to the same prompts; `text`, what is to be kept.
        """
        if self.method is None:
            raise ValueError("this study has no fine-tuning method")
        start: Load | Edit = self.base if twin else self.taught(seed)
        return FineTune(
            base=start,
            method=self.method,
            task=self.task(seed, data=data, twin=twin),
            train=self.preset.finetuning(lr, subseed(seed, "finetune"), self.device),
        )

    def task(self, seed: int, *, data: str, twin: bool) -> FineTuningTask:
        """What a method is given. The twin's prompts to forget have answers that tell nothing of S.

        Otherwise a method that reads the right answers would teach its twin.
        """
        if data not in DATA:
            raise UsageError(f"data={data}: must be one of {', '.join(DATA)}")
        of = self.streams(seed)
        return FineTuningTask(
            target=of.rule if data == "rule" else of.texts,
            retain=of.texts,
            forget=of.redrawn if twin else of.taught,
            others=of.texts,
        )


_STREAMS: dict[tuple[Any, ...], Streams] = {}


def _streams(study: ImplantStudy, seed: int) -> Streams:
    """Kept: every claim asks for the same."""
    which = (study.base.path, study.capability, study.vocabulary, study.content, repr(study.preset), seed)
    if which not in _STREAMS:
        _STREAMS[which] = streams(Implanted.of(study.capability, seed), study.tokeniser, study.preset, seed)
    return _STREAMS[which]
