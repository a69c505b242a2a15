"""How many trainings of a given language model fit into memory at a time, said before any of it is used."""

from __future__ import annotations

from dataclasses import replace

from capbench.session.options.at_once import AtOnce
from capbench.store.sizes import shown


def fitting(path: str, at_once: AtOnce, *, device: str) -> tuple[AtOnce, str]:
    """As many processes as memory has room for, at least one, and a line about it.

    A method that trains all weights has the given model beside the one it trains, and what it was before where it is held to
    that: by the 4 bytes of a weight, twice these, and four times for a weight with its gradient and AdamW's two averages.
    Activations come on top. Raises UsageError as loading does.
    """
    from capbench.models.huggingface import memory
    from capbench.models.huggingface.loading import Pretrained

    with Pretrained.at(path) as found:
        one = found.n_weights * (2 * memory.WEIGHT + memory.TRAINED)
        frozen = found.n_weights * 3 * memory.WEIGHT
    there = memory.available_on(device)
    needs = (
        f"{found.source.path.name} takes {shown(one)} where a method trains all its weights, activations not counted"
    )
    if one > there:
        few = f"a method that trains few of them, as lora, takes about {shown(frozen)}"
        return replace(
            at_once, jobs=1
        ), f"warning: {needs}, and {shown(there)} is available: the run may be killed; {few}"
    jobs = min(at_once.jobs, int(there // one))
    fewer = f"; {jobs} at a time in place of {at_once.jobs}" if jobs < at_once.jobs else ""
    return replace(at_once, jobs=jobs), f"{needs}; {shown(there)} is available{fewer}"
