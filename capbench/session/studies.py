"""The methods and studies of a run, and the steps that each claim needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from capbench.errors import MethodError, UsageError
from capbench.methods.specs.registry import MethodRef
from capbench.methods.specs.user_code import one_line
from capbench.pipeline.steps import Step
from capbench.results import Capability, Record
from capbench.session.options.checked import Options
from capbench.studies import registry
from capbench.studies.architectures import with_architecture
from capbench.studies.base import FineTuningStudy, Study
from capbench.studies.deletion.conditions import Conditions
from capbench.studies.judge import BySeed, Case, Claim
from capbench.studies.language.natural_study import PairStudy
from capbench.studies.language.shared import LanguageStudy
from capbench.studies.pcfg.factory import own
from capbench.studies.pcfg.own import PcfgOwn, TaskSpec
from capbench.studies.stories.factory import on_own
from capbench.studies.stories.prepared import counts_of, told_of
from capbench.studies.stories.study import StoriesStudy
from capbench.variants.codec import AnyVariant
from capbench.verdicts import looks
from capbench.verdicts.capability import capabilities
from capbench.verdicts.tools import Toolbox

OWN_IN_PLACE_OF = "pcfg-counter"  # the study that --capbench-task replaces
ON_A_PAIR = "language-pair"  # the study of a finished pair: of that model, and the one that --capbench-tuned names
ON_STORIES = "stories"  # the study of the stories that --capbench-data names
ON_A_MODEL = ("language-implant", "language-natural", ON_A_PAIR)  # studies of the model that --capbench-model names


S = TypeVar("S", bound=Study)


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A test's models. if_lost: all of them; always: without those for a lost behaviour. blocked: why there are none."""

    always: BySeed = field(default_factory=dict)
    if_lost: BySeed = field(default_factory=dict)
    blocked: str = ""


def each(steps: BySeed) -> list[Step]:
    """Those of all seeds, as a list."""
    return [step for by_name in steps.values() for step in by_name.values()]


class Studies:
    """Methods, studies and steps of a run. A method or study that cannot be used affects only the claims that need it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.scale = options.scale
        self.seeds = tuple(range(options.seeds))  # of every claim
        self.most = tuple(range(looks.SEEDS[-1])) if options.auto else self.seeds  # of a claim that stays undecided
        self._made: dict[tuple[str, str, str], Study | UsageError] = {}

    def method(self, spec: str) -> MethodRef | MethodError:
        """The method, or why it cannot be used."""
        return self.options.methods[spec]

    def name(self, spec: str) -> str:
        """The method's name in results."""
        found = self.method(spec) if spec else None
        return found.name if isinstance(found, MethodRef) else spec

    def of(self, claim: Claim, method: str, case: Case | None = None) -> Study:
        """The study of a case of a claim, for one method; a study without models if it cannot be made."""
        found = self._study(claim.study, method, case.architecture if case else "")
        return Unmade(task_name=claim.study, preset=_Scale(self.scale)) if isinstance(found, UsageError) else found

    def own(self, task: TaskSpec, method: str) -> PcfgOwn:
        """The study of a variant's task."""
        return self._attacked(own(task, method=self._ref(method), **self._settings))

    def of_variant(self, variant: AnyVariant, claim: Claim, method: str) -> Study:
        """The study of a variant: of its task, or that of the claim, whose conditions it has."""
        return self.of(claim, method) if isinstance(variant, Conditions) else self.own(variant.task, method)

    def prepare_stories(self, say: Callable[[str], None]) -> None:
        """Make tokens of the user's own stories, if there are such, and say what was found.

        Raises UsageError, one line, where they cannot be used: then nothing is to be computed.
        """
        if not self.options.data:
            return
        say(
            f"capbench: reading the stories in {self.options.data}; the first time this takes a while, as they are tokenised"
        )
        found = self._study(ON_STORIES, "", "")
        if isinstance(found, UsageError):
            raise UsageError(f"--capbench-data={self.options.data}: {found}")
        assert isinstance(found, StoriesStudy) and found.own is not None
        say(f"capbench: {told_of(counts_of(found.own))}")

    def subject(self, study: str, case: Case | None) -> str:
        """The id of the capability verdict on this case's model; '' if there is none."""
        found = self._study(study, "", case.architecture if case else "")
        if isinstance(found, UsageError) or case is None or not found.toolbox.judges(case.parameters):
            return ""
        return f"{found.task_name}[{case}]"

    def needed(self, claim: Claim, case: Case, method: str, seeds: Iterable[int] = ()) -> Needed:
        """The test's models, or why there are none. seeds: if none are given, those of every claim."""
        if method and isinstance(error := self.method(method), MethodError):
            return Needed(blocked=str(error))
        study = self._study(claim.study, method, case.architecture)
        if isinstance(study, UsageError):
            return Needed(blocked=str(study))
        try:
            every = {seed: claim.models(study, seed, case) for seed in tuple(seeds) or self.seeds}
            always = {s: {n: models[n] for n in claim.needs(study, s, case.plain)} for s, models in every.items()}
        except Exception as error:  # a mistake in one suite must not stop the others
            return Needed(blocked=f"the models of {claim.id}[{case}] cannot be determined: {one_line(error)}")
        return Needed(always=always, if_lost=every)

    def capabilities(self, records: Sequence[Record]) -> tuple[Capability, ...]:
        """The verdicts on the models of these records, which are of this run or an earlier one at the same scale."""
        return capabilities(records, self._toolbox, scale=self.scale)

    def _toolbox(self, record: Record) -> Toolbox | None:
        # Results of schemas 1 to 5 do not name the study of a record; no two studies share a task name.
        for name in [record.study] if record.study else self.options.studies:
            found = self._study(name, "", _architecture(record.case))
            if not isinstance(found, UsageError) and (record.study or found.task_name == record.task):
                return found.toolbox
        return None

    def _study(self, name: str, method: str, architecture: str) -> Study | UsageError:
        """The study, or why it cannot be made. architecture: '' for the study's own."""
        which = (name, method, architecture)
        if which not in self._made:
            try:
                if self.options.task is not None and name == OWN_IN_PLACE_OF:
                    made: Study = self.own(self.options.task, method)
                else:
                    plain = registry.make(name, self.options.studies, method=self._ref(method), **self._settings)
                    made = self._on_own_stories(self._on_the_model(self._attacked(plain)))
                self._made[which] = with_architecture(made, architecture) if architecture else made
            except UsageError as error:
                self._made[which] = error
        return self._made[which]

    def _attacked(self, made: S) -> S:
        """The study with the attacks that are asked for; one that does not fine-tune knows none."""
        return replace(made, attacks=self.options.attacks) if isinstance(made, FineTuningStudy) else made

    def _on_the_model(self, made: Study) -> Study:
        """The study of the language model that was given, if it is about one."""
        o = self.options
        if not isinstance(made, LanguageStudy) or not o.model:
            return made
        found = made.on(o.model, o.capabilities)
        return found.beside(o.tuned) if isinstance(found, PairStudy) and o.tuned else found

    def _on_own_stories(self, made: Study) -> Study:
        """The study of the user's own stories, if there are such and it is about stories."""
        o = self.options
        return on_own(made, o.data, o.prepared) if isinstance(made, StoriesStudy) and o.data else made

    def _ref(self, method: str) -> MethodRef | None:
        found = self.method(method) if method else None
        return found if isinstance(found, MethodRef) else None

    @property
    def _settings(self) -> dict[str, Any]:
        o = self.options
        return {"scale": o.scale, "device": o.device, "precision": o.precision}


def _architecture(case: str) -> str:
    """That of a case as a record has it: its parameters, as `name=value` each."""
    parts = dict(part.split("=", 1) for part in case.split(",") if "=" in part)
    return parts.get("architecture", "")


@dataclass(frozen=True, kw_only=True)
class Unmade:
    """Stands in for a study that could not be made: its claims are invalid and reported under its name."""

    task_name: str
    preset: _Scale
    model_name: str = ""
    device: str = "cpu"
    toolbox: Toolbox = field(default_factory=Toolbox)

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(case)


@dataclass(frozen=True)
class _Scale:
    name: str
