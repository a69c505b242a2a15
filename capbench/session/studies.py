"""What a run is about: the methods that its user named, and the study of each claim, with the steps that it needs."""

from __future__ import annotations

from collections.abc import Mapping

from capbench.errors import MethodError
from capbench.methods.specs import registry
from capbench.methods.specs.user_code import one_line
from capbench.pipeline.steps import Step
from capbench.session.options import Options
from capbench.studies.judge import Case, Claim
from capbench.studies.lab import Study
from capbench.studies.pcfg.own import PcfgOwn, TaskSpec
from capbench.studies.registry import STUDIES
from capbench.studies.scales import SCALES, Scale

OWN_IN_PLACE_OF = "pcfg-counter"  # the study that --capbench-task replaces


class Studies:
    """Methods, studies and steps of a run. A method that cannot be used affects only the claims that need it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.scale: Scale = SCALES[options.scale]().computed_in(options.precision)
        self.seeds = tuple(range(options.seeds))

    def method(self, spec: str) -> registry.MethodRef | MethodError:
        """The method, or why there is none."""
        return self.options.methods[spec]

    def name(self, spec: str) -> str:
        """The name that a method has in results."""
        found = self.method(spec) if spec else None
        return found.name if isinstance(found, registry.MethodRef) else spec

    def of(self, claim: Claim, method: str) -> Study:
        """The study of a claim, for one method."""
        found = self.method(method) if method else None
        ref = found if isinstance(found, registry.MethodRef) else None
        if self.options.task is not None and claim.study == OWN_IN_PLACE_OF:
            return PcfgOwn.of(self.options.task, self.scale.pcfg, ref, self.options.device)
        return STUDIES[claim.study](self.scale, ref, self.options.device)

    def own(self, task: TaskSpec, method: str) -> PcfgOwn:
        """The study of a task that is not the paper's: a variant's."""
        found = self.method(method) if method else None
        ref = found if isinstance(found, registry.MethodRef) else None
        return PcfgOwn.of(task, self.scale.pcfg, ref, self.options.device)

    def subject(self, study: str, case: Case | None) -> str:
        """The id of a capability verdict on the model of this case; '' if there can be none."""
        if study not in STUDIES or case is None or not {"c_tr", "lr"} <= case.parameters.keys():
            return ""
        if self.options.task is not None and study == OWN_IN_PLACE_OF:
            return f"{PcfgOwn.of(self.options.task, self.scale.pcfg, None, self.options.device).task_name}[{case}]"
        return f"{STUDIES[study](self.scale, None, self.options.device).task_name}[{case}]"

    def needed(self, claim: Claim, case: Case, method: str) -> tuple[dict[int, Mapping[str, Step]], str]:
        """The test's steps by seed and name; or none, and why."""
        if method and isinstance(error := self.method(method), MethodError):
            return {}, str(error)
        study = self.of(claim, method)
        try:
            return {seed: claim.needs(study, seed, case) for seed in self.seeds}, ""
        except Exception as error:  # a mistake in one suite must not cost the others
            return {}, f"the models of {claim.id}[{case}] cannot be named: {one_line(error)}"
