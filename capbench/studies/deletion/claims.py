"""What the suites on deletion claim of a model: its state, and what else it lost. The numbers are the suite's."""

from __future__ import annotations

from typing import Any

from capbench.pipeline.steps import FineTune
from capbench.results import CapabilityState
from capbench.studies.attacks import readings_of_revival
from capbench.studies.conditions import LOST, base_knows
from capbench.studies.deletion.study import SIZES, DeletionCounter
from capbench.studies.judge import Case, Judge
from capbench.studies.lab import ANCHOR
from capbench.studies.pcfg import claims as pcfg
from capbench.studies.pcfg.claims import Asked, Models
from capbench.studies.pcfg.readings import behaviour, collateral, patching, pruning_search, retention
from capbench.studies.readings import finetuning_curves
from capbench.studies.relabelling import relabelling
from capbench.verdicts.claims import at_least
from capbench.verdicts.collateral import shares
from capbench.verdicts.values import by_name


def tuned(study: Any, seed: int, case: Case) -> Models:
    """The base model, and what was made of it under the case's conditions."""
    return pcfg.tuned(*_sized(study, seed, case))


def needed_for_a_state(study: Any, seed: int, case: Case) -> Models:
    """The models that the tools need which say what became of a capability."""
    return pcfg.needed_for_a_state(*_sized(study, seed, case))


def _sized(study: DeletionCounter, seed: int, case: Case) -> tuple[DeletionCounter, int, Case]:
    plain = {name: value for name, value in case.parameters.items() if name not in SIZES}
    return study.sized(case.parameters), seed, Case(**plain)


def state_is(judge: Judge, expected: CapabilityState, *, bits_apart: float) -> None:
    """Claim that the model is in this state, with the controls of the verdict on any trained model (see pcfg/claims.py).

    Of a model that was taught another one's answers there are no curves of its fine-tuning.
    """
    _examine(judge, bits_apart)
    judge.decide_state(expected)


def not_deleted(judge: Judge, *, bits_apart: float) -> None:
    """Claim that the capability is not deleted with the rest kept: it is there, hidden, or other abilities are lost with it.

    Controls are those of `state_is`.
    """
    _examine(judge, bits_apart)
    judge.decide_state(CapabilityState.DELETED, excluded=True, alone=True)


def _examine(judge: Judge, bits_apart: float) -> None:
    judge.measure((behaviour, ["base", "tuned"]), *_of_making(judge), where_lost=_tools(judge))
    base_knows(judge, "base", "O_PT")
    if judge.lost:
        base_knows(judge, "never", "O_FT")
        judge.control("O_PT accuracy of the never-taught model", judge["never.O_PT.c_te0"], high=LOST)
        judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=bits_apart)


def keeps_the_rest(judge: Judge, *, share: float) -> None:
    """Claim that of every other family and operand at least this share of the base model's accuracy is left.

    A retrained model's base is its own, which was never taught O_PT in any family.
    """
    judge.measure((behaviour, ["base", "tuned"]), *_of_making(judge))
    base_knows(judge, "base", "O_PT")
    by_seed = shares(by_name(judge.measurements), "tuned")
    judge.require(judge.steps.keys() <= by_seed.keys(), "the base model knows nothing else")
    least = [min(by_seed.get(seed, {"": 0.0}).values()) for seed in judge.steps]
    judge.decide(at_least(least, share, "least share of the base model's accuracy that is kept"))


def _of_making(judge: Judge) -> list[Asked]:
    """What is told of how the model was made. Of what was fine-tuned, what else broke is measured anyway."""
    fine_tuned = all(isinstance(models["tuned"], FineTune) for models in judge.steps.values())
    return [(finetuning_curves, ["tuned"])] if fine_tuned else [(collateral, ["base", "tuned"])]


def _tools(judge: Judge) -> list[Asked]:
    return [
        (behaviour, ["never"]),
        *readings_of_revival(judge.models),
        (retention, ["base", "tuned", "never", "twin", f"{ANCHOR}*"]),
        (pruning_search, ["tuned"]),
        (relabelling, ["tuned", "twin"]),
        (patching, ["base", "tuned", "never"]),
    ]
