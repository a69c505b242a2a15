"""What implanting a capability trains on: what is taught, what tells when it is learned, and what is to stay as it was."""

from __future__ import annotations

import random
from dataclasses import dataclass

from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.language.capability import Capability
from capbench.tasks.language.streams import Prompts
from capbench.tasks.language.tokenising import Tokeniser

N_SELECT = 64  # prompts that tell when a capability is learned
LENGTH = 32  # tokens of a text that is kept


@dataclass(frozen=True, kw_only=True)
class Implant(FineTuningTask):
    """target: what is taught. select: prompts that tell when it is learned; of a skill, none of them is taught.

    retain: texts, and others: prompts of something else, on which the model is to answer as before. forget: what is taught.
    """

    select: Prompts


def implanting(of: Capability, tokeniser: Tokeniser, *, unrelated: Capability | None = None, seed: int = 0) -> Implant:
    """How to implant a capability in a model that has this tokeniser.

    unrelated: another capability whose prompts are kept beside those of the file. Raises UsageError as the tokeniser does.
    """
    taught = tokeniser.prompts(of, of.taught)
    items = list(of.items["select"])
    if len(items) > N_SELECT:
        items = random.Random(seed).sample(items, N_SELECT)
    others = tokeniser.others(of)
    if unrelated is not None:
        beside = tokeniser.prompts(unrelated, unrelated.items["train"])
        strings = (*(others.strings if others else ()), *beside.strings)
        others = Prompts.of(f"beside {of.name}", strings, vocab_size=tokeniser.vocab_size)
    return Implant(
        target=taught,
        forget=taught,
        select=tokeniser.prompts(of, items),
        retain=tokeniser.texts(f"texts beside {of.name}", of.retain, length=min(LENGTH, tokeniser.seq_len)),
        others=others,
    )
