"""Whether a fixed relabelling of a model's own answers gives the capability back, and what that means beside its state.

No tool and no vote: where it suffices, the model is wrapped, whatever tools say, as it still tells the answers apart. It looks at
inputs and outputs alone, so that it says how thick a wrapper is: one that is no more than a relabelling could have been seen
without a look at the model. Where the twin, which never had the capability, does as well, the
relabelling follows from the task and says nothing of the capability.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from capbench.results import CapabilityState, Relabelling, RelabellingState
from capbench.verdicts.counting import agreed
from capbench.verdicts.tools import KEPT
from capbench.verdicts.values import Values, value_of

# O_PT accuracy after the best relabelling of the fine-tuned model's answers, and of the twin's; of the commonest answer alone.
ACCURACY, TWIN, CONSTANT = "relabelling.accuracy", "relabelling.twin", "relabelling.constant"
OWN = 0.5  # least share of what the twin or a constant gets wrong that a relabelling must gain to be the model's own


def suffices_on(values: Values, seed: int) -> bool:
    """Whether on this seed a fixed relabelling of the answers gives the capability back, and the model alone can have it."""
    accuracy, twin, constant = (value_of(values, name, seed) for name in (ACCURACY, TWIN, CONSTANT))
    if accuracy is None or twin is None or constant is None:
        return False
    return _state(accuracy, twin, constant) is RelabellingState.SUFFICES


def relabelling(values: Values, seeds: Iterable[int]) -> Relabelling | None:
    """What the relabelling gives back over the seeds on which it was measured; None if on none."""
    found = {
        seed: (accuracy, twin, constant)
        for seed in seeds
        if (accuracy := value_of(values, ACCURACY, seed)) is not None
        and (twin := value_of(values, TWIN, seed)) is not None
        and (constant := value_of(values, CONSTANT, seed)) is not None
    }
    if not found:
        return None
    accuracy, twin, constant = (fmean(column) for column in zip(*found.values(), strict=True))
    return Relabelling(
        state=_over_seeds([_state(*of_seed) for of_seed in found.values()]),
        value=accuracy,
        twin=twin,
        constant=constant,
        per_seed={seed: of_seed[0] for seed, of_seed in found.items()},
    )


def in_words(found: Relabelling | None, state: CapabilityState) -> str:
    """What it adds to the reason for a state of the capability; '' where it adds nothing."""
    if found is None or state in (CapabilityState.INTACT, CapabilityState.DESTROYED):
        return ""
    figures = (
        f"a fixed relabelling of its answers recovers {found.value:.2f} of O_PT (of a never-taught model's after the same "
        f"method {found.twin:.2f}; one answer for all {found.constant:.2f})"
    )
    wrapped = state is CapabilityState.WRAPPED
    said = {
        RelabellingState.SUFFICES: "the wrapper is no more than that, as its answers alone show"
        if wrapped
        else "its answers still tell O_PT, under other names",
        RelabellingState.MOSTLY: "the wrapper is little more than that, as its answers alone show"
        if wrapped
        else "its answers still tell much of O_PT, under other names",
        RelabellingState.FOLLOWS: "that follows from the task, and says nothing of the capability",
        RelabellingState.FALLS_SHORT: "the wrapper is more than that" if wrapped else "",
        RelabellingState.DIFFERS: "whether that is enough differs by seed",
    }[found.state]
    return f"{figures}: {said}" if said else ""


def _state(accuracy: float, twin: float, constant: float) -> RelabellingState:
    """On one seed. Enough is what would count as behaviour kept."""
    without = max(twin, constant)
    own = accuracy > without and accuracy - without >= OWN * (1 - without)
    if accuracy >= KEPT:
        return RelabellingState.SUFFICES if own else RelabellingState.FOLLOWS
    return RelabellingState.MOSTLY if own else RelabellingState.FALLS_SHORT


def _over_seeds(states: Sequence[RelabellingState]) -> RelabellingState:
    """What most seeds agree on; where it suffices on some and nearly does on others, the weaker of the two."""
    weaker = [RelabellingState.MOSTLY if state is RelabellingState.SUFFICES else state for state in states]
    return agreed(states) or agreed(weaker) or RelabellingState.DIFFERS
